//! Users and groups by name, out of `/etc/passwd` and `/etc/group`: the program is static and asks no name service.

use consign_format::node_file::{Id, Owner};

use super::FilesError;

/// Whose files are that name no owner: of whoever runs this.
pub(super) fn own() -> (u32, u32) {
    (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())
}

/// The numbers of an owner.
pub(super) fn resolve(to: &str, text: &str) -> Result<(u32, u32), FilesError> {
    let refused = |reason| FilesError::Owner { to: to.to_owned(), owner: text.to_owned(), reason };
    let owner: Owner =
        text.parse().map_err(|error| FilesError::Malformed { to: to.to_owned(), reason: format!("{error}") })?;
    if own().0 != 0 {
        return Err(refused("only root gives files away"));
    }
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let (users, groups) = (read("/etc/passwd"), read("/etc/group"));
    let (user, own_group) = numbers(&owner.user, &users).ok_or_else(|| refused("this machine knows no such user"))?;
    let group = match &owner.group {
        Some(group) => numbers(group, &groups).map(|(group, _)| group),
        None => own_group,
    };
    let group = group.ok_or_else(|| refused("this machine knows no such group, and a user by number has none"))?;
    Ok((user, group))
}

/// The number in the third field of the line that begins with this name, and the one in the fourth.
fn numbers(id: &Id, table: &str) -> Option<(u32, Option<u32>)> {
    let line = |at: usize, text: &str| {
        table.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| fields.get(at) == Some(&text))
    };
    let number = |fields: &[&str], at: usize| fields.get(at).and_then(|field| field.parse::<u32>().ok());
    match id {
        Id::Number(user) => {
            let found = line(2, &user.to_string());
            Some((*user, found.and_then(|fields| number(&fields, 3))))
        }
        Id::Name(name) => {
            let fields = line(0, name)?;
            Some((number(&fields, 2)?, number(&fields, 3)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_looked_up() {
        let users = "root:x:0:0:root:/root:/bin/sh\netcd:x:105:107::/:/bin/false\nbroken\n";
        let name = |name: &str| Id::Name(name.to_owned());
        assert_eq!(numbers(&name("etcd"), users), Some((105, Some(107))));
        assert_eq!(numbers(&Id::Number(105), users), Some((105, Some(107))));
        assert_eq!(numbers(&Id::Number(7), users), Some((7, None)));
        assert_eq!(numbers(&name("broken"), users), None);
        assert_eq!(numbers(&name("etc"), users), None);
    }
}
