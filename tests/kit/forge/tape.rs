//! A bundle as the entries of its tar file, which nothing keeps from being cut and glued.

use consign_format::archive::header;

/// The entries and what ends them.
#[derive(Debug, Clone)]
pub struct Tape {
    /// In the order of the file.
    pub entries: Vec<Entry>,
    /// Two zero blocks, in a good bundle.
    pub end: Vec<u8>,
}

/// One entry.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The header.
    pub header: [u8; 512],
    /// The content.
    pub content: Vec<u8>,
    /// What fills the last block.
    pub padding: Vec<u8>,
}

impl Default for Tape {
    fn default() -> Self {
        Tape { entries: Vec::new(), end: vec![0; 1024] }
    }
}

impl Entry {
    /// A good entry.
    pub fn new(name: &str, content: &[u8]) -> Self {
        let header = header::canonical(name, content.len() as u64).unwrap_or_else(|error| panic!("{name}: {error}"));
        Entry { header, content: content.to_vec(), padding: vec![0; header::padding(content.len() as u64) as usize] }
    }

    /// The name as it stands in the header.
    pub fn name(&self) -> String {
        let end = self.header[..100].iter().position(|byte| *byte == 0).unwrap_or(100);
        String::from_utf8_lossy(&self.header[..end]).into_owned()
    }

    /// Writes into the header and mends its checksum.
    #[must_use]
    pub fn write(mut self, at: usize, bytes: &[u8]) -> Self {
        self.header[at..at + bytes.len()].copy_from_slice(bytes);
        self.mend();
        self
    }

    /// Gives it another name, whatever that is, as ustar has it.
    #[must_use]
    pub fn named(self, name: &[u8]) -> Self {
        let mut field = [0; 100];
        field[..name.len()].copy_from_slice(name);
        self.write(0, &field)
    }

    fn mend(&mut self) {
        self.header[148..156].fill(b' ');
        let sum: u32 = self.header.iter().map(|byte| u32::from(*byte)).sum();
        self.header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
}

impl Tape {
    /// Takes any archive of plain entries apart.
    pub fn read(bytes: &[u8]) -> Self {
        let mut tape = Tape::default();
        let mut at = 0;
        while bytes[at] != 0 {
            let header: [u8; 512] = bytes[at..at + 512].try_into().expect("a block");
            let (_, length) = header::parse(&header).expect("a canonical header");
            let (content, padding) = (at + 512, header::padding(length) as usize);
            let end = content + length as usize;
            tape.entries.push(Entry {
                header,
                content: bytes[content..end].to_vec(),
                padding: bytes[end..end + padding].to_vec(),
            });
            at = end + padding;
        }
        tape.end = bytes[at..].to_vec();
        tape
    }

    /// Appends a good entry.
    pub fn push(&mut self, name: &str, content: &[u8]) {
        self.entries.push(Entry::new(name, content));
    }

    /// The file.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for entry in &self.entries {
            bytes.extend([entry.header.as_slice(), &entry.content, &entry.padding].concat());
        }
        bytes.extend(&self.end);
        bytes
    }

    /// Where an entry is.
    pub fn find(&self, name: &str) -> usize {
        let found = self.entries.iter().position(|entry| entry.name() == name);
        found.unwrap_or_else(|| panic!("no entry {name}"))
    }

    /// Where the first entry is whose name begins like this.
    pub fn find_like(&self, prefix: &str) -> usize {
        let found = self.entries.iter().position(|entry| entry.name().starts_with(prefix));
        found.unwrap_or_else(|| panic!("no entry {prefix}…"))
    }

    /// The content of an entry.
    pub fn content(&self, name: &str) -> &[u8] {
        &self.entries[self.find(name)].content
    }

    /// The offset of an entry's header.
    pub fn offset(&self, at: usize) -> usize {
        self.entries[..at].iter().map(|entry| 512 + entry.content.len() + entry.padding.len()).sum()
    }

    /// Replaces the content of an entry of the head; the filler gives or takes the room.
    #[must_use]
    pub fn set(mut self, name: &str, content: &[u8]) -> Self {
        let (at, boundary) = (self.find(name), self.boundary());
        self.entries[at] = Entry::new(name, content);
        self.fill_to(boundary);
        self
    }

    /// Changes the content of an entry of the head.
    #[must_use]
    pub fn edit(self, name: &str, edit: impl FnOnce(&mut Vec<u8>)) -> Self {
        let mut content = self.content(name).to_vec();
        edit(&mut content);
        self.set(name, &content)
    }

    /// Puts an entry before the one called `next`; in the head, the filler gives the room.
    #[must_use]
    pub fn insert(mut self, next: &str, entry: Entry) -> Self {
        let (at, boundary, filler) = (self.find(next), self.boundary(), self.find("filler"));
        self.entries.insert(at, entry);
        if at <= filler {
            self.fill_to(boundary);
        }
        self
    }

    /// Takes an entry out; in the head, the filler takes the room.
    #[must_use]
    pub fn remove(mut self, name: &str) -> Self {
        let (at, boundary, filler) = (self.find(name), self.boundary(), self.find("filler"));
        self.entries.remove(at);
        if at < filler {
            self.fill_to(boundary);
        }
        self
    }

    /// Changes an entry in its place.
    #[must_use]
    pub fn replace(mut self, at: usize, change: impl FnOnce(Entry) -> Entry) -> Self {
        self.entries[at] = change(self.entries[at].clone());
        self
    }

    /// Where the payload begins.
    pub fn boundary(&self) -> u64 {
        self.offset(self.find("filler") + 1) as u64
    }

    /// Gives the filler the length that lets the payload begin at `boundary`.
    pub fn fill_to(&mut self, boundary: u64) {
        let at = self.find("filler");
        let room = boundary as usize - self.offset(at) - 512;
        self.entries[at] = Entry::new("filler", &vec![0; room]);
    }
}
