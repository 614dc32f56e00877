//! Damage to messages, from a generator whose numbers are the same in each run.

/// SplitMix64.
pub(crate) struct Random(pub(crate) u64);

/// What the grammars are made of, and what readers stumble over.
const WORDS: &[&[u8]] = &[
    b",",
    b"=",
    b"n=",
    b"r=",
    b"p=",
    b"m=x",
    b"a=",
    b"c=",
    b"n,,",
    b"y,,",
    b"p=tls-exporter,,",
    b"p=tls-unique,,",
    b"c=biws",
    b"c=eSws",
    b"=2C",
    b"=3D",
    b"=2",
    b"\0",
    b"\0\0",
    b"\"",
    b"\\",
    b"\\\"",
    b"\xff",
    b"\xc3\xa9",
    b"\xed\xa0\x80",
    b"\r\n",
    b" ",
    b",x=y",
    b"==",
    b"username=",
    b"realm=\"\"",
    b"nc=00000001",
    b"authzid=\"\"",
    b"charset=utf-8",
    b"qop=auth-conf",
    b"0",
];

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    /// The message as it arrives: half of them whole. Says so when it is not what was sent.
    pub(crate) fn pass_on(&mut self, message: Vec<u8>, damaged: &mut bool) -> Vec<u8> {
        if self.below(2) == 0 {
            return message;
        }
        let mut arrives = message.clone();
        for _ in 0..=self.below(3) {
            self.damage(&mut arrives);
        }
        *damaged |= arrives != message;
        arrives
    }

    fn damage(&mut self, message: &mut Vec<u8>) {
        let (from, to) = (self.below(message.len() + 1), self.below(message.len() + 1));
        let (from, to) = (from.min(to), from.max(to));
        match self.below(10) {
            0 if from < message.len() => message[from] ^= 1 << self.below(8),
            1 if from < message.len() => message[from] = self.below(256) as u8,
            2 | 3 => {
                let word = WORDS[self.below(WORDS.len())];
                message.splice(from..from, word.iter().copied());
            }
            4 => {
                let word = WORDS[self.below(WORDS.len())];
                let to = (from + word.len()).min(message.len());
                message.splice(from..to, word.iter().copied());
            }
            5 => {
                message.drain(from..to);
            }
            6 => {
                let again = message[from..to].to_vec();
                message.splice(to..to, again);
            }
            7 => message.truncate(from),
            8 => {
                let (byte, length) = (self.below(256) as u8, 1 << self.below(14));
                message.splice(from..from, std::iter::repeat_n(byte, length));
            }
            _ => {
                let length = self.below(64);
                *message = (0..length).map(|_| self.below(256) as u8).collect();
            }
        }
    }
}
