//! The memory that comparisons work in: one for each hashing thread, reused, and wiped after each use.
//!
//! Runs in the checker and in the tools. Its size is bounded by the policy's ceilings, which are held before it grows.

use argon2::Block;
use crypt::Crypt;
use zeroize::Zeroize;

use crate::verdict::Trouble;

/// Arenas up to this many KiB are kept between comparisons; larger ones are given back to the system.
///
/// 64 MiB holds the common settings of argon2; a fresh arena costs the kernel's zeroing of each page.
const KEPT_BLOCKS: usize = 64 * 1024;

/// What a hashing thread owns.
#[derive(Default)]
pub struct Scratch {
    crypt: Crypt,
    arena: Vec<Block>,
}

impl Scratch {
    /// 32 KiB now; argon2's arena grows with its first use.
    pub fn new() -> Self {
        Self::default()
    }

    /// The memory that argon2 has kept, in KiB, for whoever budgets it.
    pub fn kept_kib(&self) -> usize {
        self.arena.capacity()
    }

    pub(crate) fn crypt(&mut self) -> &mut Crypt {
        &mut self.crypt
    }

    /// Runs `work` on exactly `blocks` KiB.
    pub(crate) fn with_arena<T>(
        &mut self,
        blocks: usize,
        work: impl FnOnce(&mut [Block]) -> T,
    ) -> Result<T, Trouble> {
        if self.arena.len() < blocks {
            let more = blocks - self.arena.len();
            self.arena
                .try_reserve_exact(more)
                .map_err(|_| Trouble::new(format!("argon2: no memory for {blocks} KiB")))?;
            self.arena.resize(blocks, Block::default());
        }
        let Some(arena) = self.arena.get_mut(..blocks) else {
            return Err(Trouble::new("argon2: the arena is too small"));
        };
        let done = work(arena);
        arena.iter_mut().for_each(Block::zeroize);
        if self.arena.len() > KEPT_BLOCKS {
            self.arena = Vec::new();
        }
        Ok(done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arena_is_wiped_and_a_large_one_given_back() {
        let mut scratch = Scratch::new();
        let touch = |arena: &mut [Block]| {
            arena.iter_mut().for_each(|block| block.as_mut().fill(7));
            arena.len()
        };
        assert_eq!(scratch.with_arena(64, touch), Ok(64));
        assert_eq!(scratch.with_arena(16, touch), Ok(16));
        assert!(scratch.kept_kib() >= 64);
        assert!(scratch.arena.iter().all(|block| block.as_ref().iter().all(|word| *word == 0)));
        assert_eq!(scratch.with_arena(KEPT_BLOCKS + 1, |arena| arena.len()), Ok(KEPT_BLOCKS + 1));
        assert_eq!(scratch.kept_kib(), 0);
    }

    #[test]
    fn impossible_memory_is_trouble_and_not_an_abort() {
        assert!(Scratch::new().with_arena(usize::MAX / 2048, |arena| arena.len()).is_err());
    }
}
