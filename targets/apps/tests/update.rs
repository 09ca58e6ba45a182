//! Updates of models: whatever goes wrong, the old model stays in use.

use embedded_io::{ErrorKind, ErrorType, Read};
use systole::{Aligned, Arena, DType, LoadError, Model, Opcode, Operators, Session, operators};
use systole_apps::{
    gesture::Gesture,
    hello::Hello,
    update::{Error, Limits, Refused, Slots},
};
use systole_converter::{Match, Options, convert};

mod flash;

use flash::{Flash, Torn};

/// An nRF52's words and pages, but smaller pages.
type Nrf = Flash<4, 1024>;

const LIMITS: Limits = Limits {
    operators: operators![I8: FullyConnected],
    arena_bytes: Hello::ARENA_BYTES,
    work: 10_000,
    input: Hello::INPUT,
    output: Hello::OUTPUT,
};

/// Two models of the same network that round differently, and one of another network.
fn models() -> [Vec<u8>; 3] {
    let made = |name: &str, matching| {
        let path = format!("{}/../../models/{name}.tflite", env!("CARGO_MANIFEST_DIR"));
        let options = Options { matching, ..Options::default() };
        convert(&std::fs::read(path).unwrap(), &options).unwrap().file.as_slice().to_vec()
    };
    [made("hello", Match::Tflm), made("hello", Match::Native), made("gesture", Match::Tflm)]
}

/// A serial port: bytes come in small pieces.
struct Serial<'a>(&'a [u8]);

impl ErrorType for Serial<'_> {
    type Error = ErrorKind;
}

impl Read for Serial<'_> {
    fn read(&mut self, to: &mut [u8]) -> Result<usize, ErrorKind> {
        let count = to.len().min(7).min(self.0.len());
        let (now, later) = self.0.split_at(count);
        to[..count].copy_from_slice(now);
        self.0 = later;
        Ok(count)
    }
}

fn slots<const W: usize, const E: usize>(flash: Flash<W, E>) -> Slots<Flash<W, E>> {
    Slots::new(flash, LIMITS).unwrap()
}

/// Flash that `models` were stored in, one after the other.
fn with<const W: usize, const E: usize>(models: &[&[u8]]) -> Flash<W, E> {
    let mut slots = slots(Flash::new());
    for model in models {
        slots.receive(&mut Serial(model)).unwrap();
    }
    slots.release().restarted()
}

/// Whether a start would use exactly this model; it computes what the model does by itself.
fn uses<const W: usize, const E: usize>(flash: &Flash<W, E>, want: &[u8]) -> bool {
    let slots = slots(flash.clone());
    let Some(active) = slots.active() else { return false };
    let mut copy = Box::new(Aligned([0; 4096]));
    let copy = &mut copy.0[..want.len()];
    copy.copy_from_slice(want);
    let wanted = Model::from_bytes(copy).unwrap();
    (0..=255).all(|x: u8| sine(&active.model, x as i8) == sine(&wanted, x as i8))
        && active.model.constants() == wanted.constants()
}

fn sine(model: &Model<'_>, x: i8) -> i8 {
    let mut arena = Arena::<{ Hello::ARENA_BYTES }>::new();
    let mut session = Session::new(model, arena.as_mut_slice()).unwrap();
    session.input(0).unwrap().copy_from(&[x]).unwrap();
    session.run().unwrap();
    session.output(0).unwrap().as_slice::<i8>().unwrap()[0]
}

#[test]
fn updates_alternate_between_the_slots() {
    let [old, new, _] = models();
    assert_ne!(old, new);
    let mut slots = slots(Nrf::new());
    assert!(slots.active().is_none());
    for (model, slot, sequence) in [(&old, 0, 1), (&new, 1, 2), (&old, 0, 3), (&old, 1, 4)] {
        slots.receive(&mut Serial(model)).unwrap();
        let active = slots.active().unwrap();
        assert_eq!((active.slot, active.sequence), (slot, sequence));
        let flash = slots.release().restarted();
        assert!(uses(&flash, model));
        slots = self::slots(flash);
    }
}

/// Cuts power at every word and page of an update from the first model to the second.
fn cut<const W: usize, const E: usize>() {
    let [old, new, _] = models();
    let before = with::<W, E>(&[&new, &old]);
    let mut whole = slots(before.clone());
    whole.receive(&mut Serial(&new)).unwrap();
    let changes = whole.release().changes;
    assert!(changes > new.len() / W, "{changes} changes");
    for torn in Torn::ALL {
        for power in 0..changes {
            let mut slots = slots(before.clone().powered(power, torn));
            let error = slots.receive(&mut Serial(&new)).unwrap_err();
            assert!(matches!(error, Error::Flash(_)), "{error:?}");
            let after = slots.release().restarted();
            // Only the header's last words make the new model the one.
            let done = changes - power <= 32_usize.div_ceil(W);
            let is_new = uses(&after, &new);
            assert!(uses(&after, &old) || (done && is_new), "power lost at {power}, {torn:?}");
            // What is left behind does not stand in the way of the next attempt.
            let mut slots = self::slots(after);
            slots.receive(&mut Serial(if is_new { &old } else { &new })).unwrap();
            assert!(uses(&slots.release().restarted(), if is_new { &old } else { &new }));
        }
    }
}

#[test]
fn power_may_be_lost_at_any_word_of_4_bytes() {
    cut::<4, 1024>();
}

#[test]
fn power_may_be_lost_at_any_word_of_8_bytes() {
    cut::<8, 4096>();
}

#[test]
fn power_may_be_lost_at_any_page_of_256_bytes() {
    cut::<256, 4096>();
}

#[test]
fn power_may_be_lost_in_the_first_update_of_all() {
    let [model, ..] = models();
    for power in 0..model.len() / 4 {
        let mut slots = slots(Nrf::new().powered(power, Torn::Noise));
        slots.receive(&mut Serial(&model)).unwrap_err();
        let mut slots = self::slots(slots.release().restarted());
        assert!(slots.active().is_none());
        slots.receive(&mut Serial(&model)).unwrap();
        assert!(uses(&slots.release().restarted(), &model));
    }
}

#[test]
fn an_update_may_end_at_any_byte() {
    let [old, new, _] = models();
    let before: Nrf = with(&[&old]);
    for length in 0..new.len() {
        let mut slots = slots(before.clone());
        assert_eq!(slots.receive(&mut Serial(&new[..length])), Err(Error::Truncated));
        assert!(uses(&slots.release().restarted(), &old), "{length} bytes");
    }
}

#[test]
fn an_update_may_be_damaged_at_any_byte() {
    let [old, new, _] = models();
    let before: Nrf = with(&[&old]);
    for at in 0..new.len() {
        let mut damaged = new.clone();
        damaged[at] ^= 1 << (at % 8);
        let mut slots = slots(before.clone());
        slots.receive(&mut Serial(&damaged)).unwrap_err();
        assert!(uses(&slots.release().restarted(), &old), "byte {at}");
    }
}

#[test]
fn errors_say_what_was_wrong() {
    let [old, new, other] = models();
    let mut slots = slots(with::<4, 1024>(&[&old]));
    let mut damaged = new.clone();
    damaged[1000] ^= 1;
    let error = slots.receive(&mut Serial(&damaged)).unwrap_err();
    assert!(matches!(error, Error::Invalid(LoadError::Checksum { .. })), "{error:?}");
    assert_eq!(slots.receive(&mut Serial(&[0; 100])), Err(Error::NotAModel));
    let mut long = new.clone();
    long[12..16].copy_from_slice(&3841_u32.to_le_bytes());
    let error = slots.receive(&mut Serial(&long));
    assert_eq!(error, Err(Error::TooLarge { bytes: 3841, slot: 3840 }));
    let error = slots.receive(&mut Serial(&other)).unwrap_err();
    let (opcode, output) = (Opcode::Conv2d, DType::I8);
    assert_eq!(error, Error::Invalid(LoadError::NotLinked { op: 0, opcode, output }));
    assert!(uses(&slots.release(), &old));
}

#[test]
fn models_that_do_not_fit_the_board_are_refused() {
    let [model, _, other] = models();
    let refusal = |limits, model: &[u8]| {
        Slots::new(Nrf::new(), limits).unwrap().receive(&mut Serial(model)).unwrap_err()
    };
    let all = Limits { operators: Operators::ALL, ..LIMITS };
    assert_eq!(refusal(all, &other), Error::Refused(Refused::Arena { needed: 512 }));
    let ample = Limits { arena_bytes: 4096, work: 1_000_000, ..all };
    assert_eq!(refusal(ample, &other), Error::Refused(Refused::Input));
    let error = refusal(Limits { output: Hello::OUTPUT, input: Gesture::INPUT, ..ample }, &other);
    assert_eq!(error, Error::Refused(Refused::Output));
    let error = refusal(Limits { work: 10, ..ample }, &model);
    assert!(matches!(error, Error::Refused(Refused::Work { needed: 288.. })), "{error:?}");
}

#[test]
fn a_slot_that_ages_gives_way_to_the_older_model() {
    let [old, new, _] = models();
    let mut flash: Nrf = with(&[&old, &new]);
    assert!(uses(&flash, &new));
    // In the second slot, behind its header.
    flash.flip((4096 + 256 + 1000) * 8);
    assert!(uses(&flash, &old));
}

#[test]
fn flash_that_cannot_hold_two_slots_is_refused() {
    assert!(Slots::new(Flash::<3, 1024>::new(), LIMITS).is_none());
    assert!(Slots::new(Flash::<4, 8192>::new(), LIMITS).is_none());
    assert!(Slots::new(Flash::<512, 1024>::new(), LIMITS).is_none());
}
