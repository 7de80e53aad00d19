//! The default route that k3s and RKE2 want to see before they start, on a network that leads nowhere.

use super::{Check, Finding, Patient};
use crate::nodes::{Runtime, detect};

const ROUTE: Check = Check {
    id: "default-route",
    why: "k3s and RKE2 find their own address by the default route, and do not start without one",
};

/// What gives them one that leads nowhere.
const FIX: &str = "give every node one that leads nowhere: ip link add dummy0 type dummy; ip addr add 203.0.113.254/31 \
                   dev dummy0; ip link set dummy0 up; ip route add default via 203.0.113.255 dev dummy0 metric 1000; \
                   and write the same into the network configuration, or it is gone after a restart";

pub(super) fn look(patient: &Patient<'_>) -> Vec<Finding> {
    let Some(place) = patient.place else { return vec![ROUTE.skipped("the root folder cannot be looked at")] };
    let runtimes = detect::runtimes(place);
    if !runtimes.contains(&Runtime::K3s) && !runtimes.contains(&Runtime::Rke2) {
        return vec![ROUTE.ok("neither k3s nor RKE2 is here, so nothing asks for one")];
    }
    let read = |path| place.look(path).ok().flatten();
    vec![match (read("/proc/net/route"), read("/proc/net/ipv6_route")) {
        (None, None) => ROUTE.skipped("the routes of this machine cannot be read"),
        (four, six) => judge(&four.unwrap_or_default(), &six.unwrap_or_default()),
    }]
}

fn judge(four: &str, six: &str) -> Finding {
    if has_default_four(four) || has_default_six(six) {
        ROUTE.ok("there is one")
    } else {
        ROUTE.fail("k3s or RKE2 is here, and there is no default route", FIX)
    }
}

/// Interface, destination, gateway, flags, …, mask; in hexadecimal (proc(5)).
fn has_default_four(table: &str) -> bool {
    table.lines().skip(1).any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let up =
            fields.get(3).and_then(|flags| u32::from_str_radix(flags, 16).ok()).is_some_and(|flags| flags & 1 == 1);
        up && fields.get(1) == Some(&"00000000") && fields.get(7) == Some(&"00000000")
    })
}

/// Destination, its length, …, flags, interface. What the kernel keeps on `lo` refuses everything and leads nowhere.
fn has_default_six(table: &str) -> bool {
    table.lines().any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let everywhere = fields.first().is_some_and(|to| to.bytes().all(|b| b == b'0')) && fields.get(1) == Some(&"00");
        everywhere && fields.len() == 10 && fields.last() != Some(&"lo")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Level;

    const HEAD: &str = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n";
    const LO: &str = "00000000000000000000000000000000 00 00000000000000000000000000000000 00 \
                      00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo\n";

    #[test]
    fn a_default_route_is_told_from_a_local_one() {
        let default = "eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n";
        let local = "eth0\t0001A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n";
        let down = default.replace("\t0003\t", "\t0002\t");
        let six = LO.replace("lo\n", "eth0\n");
        assert_eq!(judge(&format!("{HEAD}{local}{default}"), LO).level, Level::Ok);
        assert_eq!(judge(&format!("{HEAD}{local}"), &six).level, Level::Ok);
        for four in [HEAD.to_owned(), format!("{HEAD}{local}"), format!("{HEAD}{down}"), String::new()] {
            let finding = judge(&four, LO);
            assert_eq!(finding.level, Level::Fail, "{four}");
            assert!(finding.fix.unwrap().contains("ip route add default"));
        }
    }
}
