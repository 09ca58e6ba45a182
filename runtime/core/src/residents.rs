//! Weights that lie in fast memory while a model is used: copied there once, behind the tensors of their arena.
//!
//! Which those are, and where, the file says; flash keeps the original. Kernels get slices of the copies where
//! they would get slices of the file.

use crate::{Model, TensorInfo, format::MAX_ARENAS, memory::Arenas};

/// The weights that were brought into the arenas, of each in its order.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Residents<'a>([&'a [u8]; MAX_ARENAS]);

impl<'a> Residents<'a> {
    /// Takes the ends of the arenas, and copies a model's resident weights there.
    pub(crate) fn load(model: &Model<'_>, arenas: &mut Arenas<'a>) -> Self {
        let mut residents = Self::default();
        if model.residents.is_empty() {
            return residents;
        }
        let own = residents.0.iter_mut().zip(&mut arenas.0).enumerate();
        for (index, (shared, segment)) in own {
            let bytes = core::mem::take(&mut segment.bytes);
            let tensors = bytes.len().saturating_sub(model.resident_bytes(index));
            let (tensors, weights) = bytes.split_at_mut_checked(tensors).unwrap_or_default();
            segment.bytes = tensors;
            let here = model.residents().filter(|&(_, arena, _)| arena == index);
            for (tensor, _, offset) in here {
                let Some(info) = model.tensor(tensor) else { continue };
                let at = offset.wrapping_sub(segment.bytes.len());
                let to = weights.get_mut(at..).and_then(|to| to.get_mut(..info.bytes()));
                let from = model.constants().get(info.place.offset..);
                let from = from.and_then(|from| from.get(..info.bytes()));
                if let (Some(to), Some(from)) = (to, from) {
                    to.copy_from_slice(from);
                }
            }
            *shared = weights;
        }
        residents
    }

    /// The bytes of a constant, where they were brought.
    pub(crate) fn get(&self, model: &Model<'_>, info: &TensorInfo<'_>) -> Option<&'a [u8]> {
        if model.residents.is_empty() {
            return None;
        }
        let (arena, offset) = model.resident(info.index())?;
        let tensors = model.arenas().nth(arena)?.checked_sub(model.resident_bytes(arena))?;
        self.0.get(arena)?.get(offset.checked_sub(tensors)?..)?.get(..info.bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::{format, vec::Vec};

    use super::*;
    use crate::{Arena, Session};

    /// A bundled model with all of its weights in one memory, at a multiple of 16.
    fn with_file(test: impl FnOnce(&Model<'_>)) {
        let path = "../../tests/files/digits_weights-1.systole";
        let bytes = std::fs::read(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        let mut aligned = std::boxed::Box::new(Arena::<16_384>::new());
        aligned.as_mut_slice()[..bytes.len()].copy_from_slice(&bytes);
        test(&Model::from_bytes(&aligned.as_slice()[..bytes.len()]).unwrap());
    }

    #[test]
    fn kernels_read_the_copies_and_not_the_file() {
        with_file(|model| {
            let mut arena = std::boxed::Box::new(Arena::<16_384>::new());
            let bytes = model.resident_bytes(0);
            // Copies that are zero: each class is as likely as its bias says, whatever the input.
            let zeros: Vec<u8> = std::vec![0; bytes];
            let mut outputs: Vec<Vec<i8>> = Vec::new();
            for zeroed in [false, true] {
                for ink in [-128_i8, 90] {
                    let mut session = Session::new(model, arena.as_mut_slice()).unwrap();
                    if zeroed {
                        let mut residents = Residents::default();
                        residents.0[0] = &zeros;
                        session.read_weights_from(residents);
                    }
                    session.input(0).unwrap().as_mut_slice::<i8>().unwrap().fill(ink);
                    session.run().unwrap();
                    outputs.push(session.output(0).unwrap().as_slice().unwrap().to_vec());
                }
            }
            assert_ne!(outputs[0], outputs[1], "an empty image is not a full one");
            assert_eq!(outputs[2], outputs[3]);
        });
    }

    #[test]
    fn copies_are_those_of_the_file() {
        with_file(|model| {
            let mut arena = std::boxed::Box::new(Arena::<16_384>::new());
            arena.as_mut_slice().fill(0x5A);
            let mut arenas = Arenas::default();
            let (tensors, bytes) =
                (model.arena_bytes() - model.resident_bytes(0), model.arena_bytes());
            arenas.0[0].bytes = &mut arena.as_mut_slice()[..bytes];
            let residents = Residents::load(model, &mut arenas);
            assert_eq!(arenas.0[0].bytes.len(), tensors);
            assert!(arenas.0[0].bytes.iter().all(|&byte| byte == 0x5A), "tensors are left alone");
            let mut count = 0;
            for tensor in 0..model.tensor_count() as u16 {
                let info = model.tensor(tensor).unwrap();
                let Some(copy) = residents.get(model, &info) else { continue };
                assert_eq!(copy, &model.constants()[info.offset()..][..info.bytes()]);
                count += 1;
            }
            assert_eq!(count, model.residents().count());
        });
    }
}
