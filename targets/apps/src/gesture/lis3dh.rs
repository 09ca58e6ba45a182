//! The LIS3DH accelerometer over I2C: as much of it as gestures need.

use embedded_hal::i2c::I2c;

/// Acceleration along x, y and z in mg.
pub type Sample = [i16; 3];

const WHO_AM_I: u8 = 0x0F;
const CTRL_REG1: u8 = 0x20;
const CTRL_REG4: u8 = 0x23;
const STATUS_REG: u8 = 0x27;
const OUT_X_L: u8 = 0x28;

/// What `WHO_AM_I` holds in every LIS3DH.
const IDENTITY: u8 = 0x33;
/// 50 Hz, all axes on.
const RATE_50_HZ: u8 = 0x47;
/// Both bytes of a value change together (BDU), ±4 g, 12 bits (high resolution).
const RANGE_4_G: u8 = 0x98;
/// In `STATUS_REG`: all three axes have new values.
const NEW_VALUES: u8 = 0x08;
/// Added to a register's number: further bytes are of the registers that follow.
const INCREMENT: u8 = 0x80;
/// At ±4 g and 12 bits, a step is 2 mg.
const MG: i16 = 2;

/// What went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error<E> {
    /// The bus failed.
    Bus(E),
    /// Another device answers at this address; it says that it is this.
    Identity(u8),
}

impl<E> From<E> for Error<E> {
    fn from(error: E) -> Self {
        Self::Bus(error)
    }
}

/// The sensor, at 50 Hz and ±4 g.
#[derive(Debug)]
pub struct Lis3dh<B> {
    bus: B,
    address: u8,
}

impl<B: I2c> Lis3dh<B> {
    /// The address where the pin SA0 is low; high makes it one more.
    pub const ADDRESS: u8 = 0x18;

    /// Starts the sensor that listens at `address`.
    ///
    /// # Errors
    /// [`Error`], also where something else answers.
    pub fn new(bus: B, address: u8) -> Result<Self, Error<B::Error>> {
        let mut sensor = Self { bus, address };
        let [identity] = sensor.read(WHO_AM_I)?;
        if identity != IDENTITY {
            return Err(Error::Identity(identity));
        }
        sensor.bus.write(address, &[CTRL_REG4, RANGE_4_G])?;
        sensor.bus.write(address, &[CTRL_REG1, RATE_50_HZ])?;
        Ok(sensor)
    }

    /// The next sample; `None` until the sensor has one.
    ///
    /// # Errors
    /// [`Error::Bus`].
    pub fn sample(&mut self) -> Result<Option<Sample>, Error<B::Error>> {
        let [status] = self.read(STATUS_REG)?;
        if status & NEW_VALUES == 0 {
            return Ok(None);
        }
        let [x0, x1, y0, y1, z0, z1] = self.read(OUT_X_L | INCREMENT)?;
        // 12 bits, left-justified.
        let mg = |low, high| (i16::from_le_bytes([low, high]) >> 4) * MG;
        Ok(Some([mg(x0, x1), mg(y0, y1), mg(z0, z1)]))
    }

    /// The bus, for other devices.
    pub fn release(self) -> B {
        self.bus
    }

    fn read<const N: usize>(&mut self, register: u8) -> Result<[u8; N], Error<B::Error>> {
        let mut bytes = [0; N];
        self.bus.write_read(self.address, &[register], &mut bytes)?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::{vec, vec::Vec};

    use embedded_hal::i2c::ErrorKind;
    use embedded_hal_mock::eh1::i2c::{Mock, Transaction};

    use super::*;

    const AT: u8 = Lis3dh::<Mock>::ADDRESS;

    /// What starting the sensor says on the bus.
    fn start() -> Vec<Transaction> {
        vec![
            Transaction::write_read(AT, vec![0x0F], vec![0x33]),
            Transaction::write(AT, vec![0x23, 0x98]),
            Transaction::write(AT, vec![0x20, 0x47]),
        ]
    }

    #[test]
    fn the_sensor_is_identified_and_configured() {
        let sensor = Lis3dh::new(Mock::new(&start()), AT).unwrap();
        sensor.release().done();
    }

    #[test]
    fn another_device_is_refused() {
        let mut bus = Mock::new(&[Transaction::write_read(0x19, vec![0x0F], vec![0x44])]);
        let error = Lis3dh::new(bus.clone(), 0x19).unwrap_err();
        assert_eq!(error, Error::Identity(0x44));
        bus.done();
    }

    #[test]
    fn samples_are_mg_of_left_justified_values() {
        let mut talk = start();
        // 0x1F4 = 500 steps; -500 steps; the lowest value.
        let values = vec![0x40, 0x1F, 0xC0, 0xE0, 0x00, 0x80];
        talk.push(Transaction::write_read(AT, vec![0x27], vec![0x08]));
        talk.push(Transaction::write_read(AT, vec![0xA8], values));
        let mut sensor = Lis3dh::new(Mock::new(&talk), AT).unwrap();
        assert_eq!(sensor.sample(), Ok(Some([1000, -1000, -4096])));
        sensor.release().done();
    }

    #[test]
    fn no_sample_is_read_before_there_is_one() {
        let mut talk = start();
        talk.push(Transaction::write_read(AT, vec![0x27], vec![0x07]));
        let mut sensor = Lis3dh::new(Mock::new(&talk), AT).unwrap();
        assert_eq!(sensor.sample(), Ok(None));
        sensor.release().done();
    }

    #[test]
    fn errors_of_the_bus_are_passed_on() {
        let lost = Transaction::write_read(AT, vec![0x0F], vec![0]).with_error(ErrorKind::Bus);
        let mut bus = Mock::new(&[lost]);
        assert_eq!(Lis3dh::new(bus.clone(), AT).unwrap_err(), Error::Bus(ErrorKind::Bus));
        bus.done();
    }
}
