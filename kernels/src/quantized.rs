//! The integer types that hold quantized values.

/// int8, int16, int32 or uint8: what a kernel needs to read values as i32 and to write them back.
pub trait Quantized: Copy + Default + Into<i32> {
    /// The smallest value.
    const MIN: Self;

    /// `value`, clamped to the type's range.
    fn saturate(value: i32) -> Self;
}

impl Quantized for i8 {
    const MIN: Self = Self::MIN;

    #[inline(always)]
    fn saturate(value: i32) -> Self {
        value.clamp(i32::from(Self::MIN), i32::from(Self::MAX)) as Self
    }
}

impl Quantized for i16 {
    const MIN: Self = Self::MIN;

    #[inline(always)]
    fn saturate(value: i32) -> Self {
        value.clamp(i32::from(Self::MIN), i32::from(Self::MAX)) as Self
    }
}

impl Quantized for i32 {
    const MIN: Self = Self::MIN;

    #[inline(always)]
    fn saturate(value: i32) -> Self {
        value
    }
}

impl Quantized for u8 {
    const MIN: Self = Self::MIN;

    #[inline(always)]
    fn saturate(value: i32) -> Self {
        value.clamp(i32::from(Self::MIN), i32::from(Self::MAX)) as Self
    }
}
