//! An operator record with the tensors that it names: what operators are decoded from.

use systole_kernels::{
    requantize::{FixedScales, Requantize, RequantizeWide},
    tiles::{Activations, Tiles},
};
use zerocopy::{FromBytes, Immutable, KnownLayout};

use crate::{
    DType, Element, Model, OperatorError, TensorInfo,
    format::{
        Layout, NO_TENSOR, OPERATOR_BYTES, PARAMS_BYTES, Params, RoundingCode, Storage, array,
        u16_at, u32_at,
    },
    memory::Place,
    residents::Residents,
};

/// One operator of a file. Operands are counted inputs first, then outputs.
#[derive(Debug, Clone, Copy)]
pub struct Record<'m> {
    model: &'m Model<'m>,
    /// The weights, where they are not in the file.
    apart: &'m [u8],
    /// Constants that were brought into the arenas.
    residents: Residents<'m>,
    bytes: &'m [u8; OPERATOR_BYTES],
    operands: &'m [u8],
    inputs: u16,
    outputs: u16,
}

impl<'m> Record<'m> {
    /// The record at `index`, `None` past the last one or where its operands lie outside their
    /// section.
    pub(crate) fn new(model: &'m Model<'m>, index: u16) -> Option<Self> {
        let start = usize::from(index) * OPERATOR_BYTES;
        let bytes = model.operators_section().get(start..)?.first_chunk()?;
        let (inputs, outputs) = (u16_at(bytes, 8)?, u16_at(bytes, 10)?);
        let first = (u32_at(bytes, 4)? as usize).checked_mul(2)?;
        let length = 2 * (usize::from(inputs) + usize::from(outputs));
        let operands = model.operands_section().get(first..first.checked_add(length)?)?;
        let residents = Residents::default();
        Some(Self { model, apart: &[], residents, bytes, operands, inputs, outputs })
    }

    /// The same with the weights that the file does not have.
    pub(crate) fn with_weights(self, apart: &'m [u8]) -> Self {
        Self { apart, ..self }
    }

    /// The same with constants that were brought into the arenas.
    pub(crate) fn with_residents(self, residents: Residents<'m>) -> Self {
        Self { residents, ..self }
    }

    /// Where the weights lie, if not in the file.
    pub(crate) fn weights_apart(&self) -> Option<Place> {
        let place = self.tensor(1).filter(|_| self.input_count() > 1)?.place;
        (place.storage == Storage::Apart).then_some(place)
    }

    /// The operator's code, see [`crate::Opcode`].
    pub fn opcode(&self) -> u16 {
        u16_at(self.bytes, 0).unwrap_or(0)
    }

    /// The rounding byte.
    ///
    /// # Errors
    /// [`OperatorError::Rounding`] for a code that this version does not know.
    pub fn rounding(&self) -> Result<RoundingCode, OperatorError> {
        let code = self.bytes.get(2).copied().unwrap_or(0);
        RoundingCode::from_code(code).ok_or(OperatorError::Rounding(code))
    }

    /// The operator's own parameters.
    pub fn params<P: Params>(&self) -> P {
        P::read(&array(self.bytes, OPERATOR_BYTES - PARAMS_BYTES).unwrap_or([0; PARAMS_BYTES]))
    }

    /// The parameters' bytes.
    pub fn params_bytes(&self) -> &'m [u8] {
        self.bytes.get(OPERATOR_BYTES - PARAMS_BYTES..).unwrap_or_default()
    }

    /// Number of inputs, optional ones that are not given included.
    pub fn input_count(&self) -> usize {
        self.inputs.into()
    }

    /// Number of outputs.
    pub fn output_count(&self) -> usize {
        self.outputs.into()
    }

    /// The tensor index of an operand, `None` where it is not given.
    pub fn operand(&self, operand: usize) -> Option<u16> {
        u16_at(self.operands, 2 * operand).filter(|&tensor| tensor != NO_TENSOR)
    }

    /// The elements of all operands.
    pub(crate) fn elements(&self) -> u64 {
        let operands = 0..self.input_count() + self.output_count();
        let lengths = operands.filter_map(|operand| self.tensor(operand)).map(|info| info.len());
        lengths.fold(0, |sum, length| sum.saturating_add(length as u64))
    }

    /// [`Record::elements`], and `steps` for each element of the first output.
    pub(crate) fn elements_and_steps(&self, steps: u64) -> u64 {
        let outputs = self.output(0).map_or(0, |y| y.len() as u64);
        self.elements().saturating_add(outputs.saturating_mul(steps))
    }

    /// The product of some dimensions of an input, 1 where it is missing.
    pub(crate) fn dims(&self, input: usize, axes: core::ops::Range<usize>) -> u64 {
        let Ok(info) = self.input(input) else { return 1 };
        axes.fold(1, |product, axis| info.shape().dim(axis) as u64 * product)
    }

    /// Fails unless there are exactly this many operands.
    ///
    /// # Errors
    /// [`OperatorError::OperandCount`].
    pub fn expect_operands(&self, inputs: usize, outputs: usize) -> Result<(), OperatorError> {
        let right = self.input_count() == inputs && self.output_count() == outputs;
        if right { Ok(()) } else { Err(OperatorError::OperandCount) }
    }

    /// An input that has to be there, in the arena or the file.
    ///
    /// # Errors
    /// [`OperatorError::Operand`], [`OperatorError::Layout`]; [`OperatorError::Apart`] for what is in neither.
    pub fn input(&self, index: usize) -> Result<TensorInfo<'m>, OperatorError> {
        let missing = OperatorError::Operand(index as u8);
        if index >= self.input_count() {
            return Err(missing);
        }
        let info = self.tensor(index).ok_or(missing)?;
        if info.place.storage == Storage::Apart {
            return Err(OperatorError::Apart(index as u8));
        }
        match info.layout {
            Layout::Plain => Ok(info),
            Layout::Tiles
            | Layout::UnsignedTiles
            | Layout::DeepTiles
            | Layout::Pairs
            | Layout::Winograd => Err(OperatorError::Layout(index as u8)),
        }
    }

    /// An input that is weights, and what they are multiplied with where they are in tiles.
    ///
    /// # Errors
    /// [`OperatorError::Operand`].
    pub(crate) fn weights(
        &self,
        index: usize,
    ) -> Result<(TensorInfo<'m>, Option<Activations>), OperatorError> {
        let info = self.tensor(index).filter(|_| index < self.input_count());
        let info = info.ok_or(OperatorError::Operand(index as u8))?;
        Ok((info, info.layout.activations()))
    }

    /// An input that may be left out.
    ///
    /// # Errors
    /// [`OperatorError::Operand`] where it is given but no tensor.
    pub fn optional_input(&self, index: usize) -> Result<Option<TensorInfo<'m>>, OperatorError> {
        if index >= self.input_count() || self.operand(index).is_none() {
            return Ok(None);
        }
        self.input(index).map(Some)
    }

    /// An input however its elements are arranged, if it is given.
    ///
    /// # Errors
    /// [`OperatorError::Operand`] where it is given but no tensor.
    pub fn given(&self, index: usize) -> Result<Option<TensorInfo<'m>>, OperatorError> {
        match self.operand(index) {
            Some(_) => self.weights(index).map(|(info, _)| Some(info)),
            None => Ok(None),
        }
    }

    /// An output.
    ///
    /// # Errors
    /// [`OperatorError::Operand`].
    pub fn output(&self, index: usize) -> Result<TensorInfo<'m>, OperatorError> {
        let operand = self.input_count() + index;
        self.tensor(operand).ok_or(OperatorError::Operand(operand as u8))
    }

    fn tensor(&self, operand: usize) -> Option<TensorInfo<'m>> {
        self.model.tensor(self.operand(operand)?)
    }

    /// An input that is a constant of the file, as a slice. `T` says which type it must have.
    ///
    /// # Errors
    /// [`OperatorError::Operand`], [`OperatorError::NotConstant`], [`OperatorError::Type`].
    pub fn constant<T: Element>(&self, index: usize) -> Result<&'m [T], OperatorError> {
        let info = self.input(index)?;
        self.elements_of(&info, index)
    }

    /// The same of weights, which may lie apart from the file.
    ///
    /// # Errors
    /// As [`Record::constant`]; [`OperatorError::Layout`] for weights in tiles.
    pub(crate) fn constant_weights<T: Element>(
        &self,
        index: usize,
    ) -> Result<&'m [T], OperatorError> {
        let (info, _) = self.weights(index)?;
        if info.layout != Layout::Plain {
            return Err(OperatorError::Layout(index as u8));
        }
        self.elements_of(&info, index)
    }

    fn elements_of<T: Element>(
        &self,
        info: &TensorInfo<'m>,
        index: usize,
    ) -> Result<&'m [T], OperatorError> {
        if info.stored_dtype() != T::DTYPE {
            return Err(OperatorError::Type { operand: index as u8, found: info.stored_dtype() });
        }
        if info.place.storage == Storage::Arena {
            return Err(OperatorError::NotConstant(index as u8));
        }
        self.bytes_of(info)
            .and_then(|bytes| <[T]>::ref_from_bytes(bytes).ok())
            .ok_or(OperatorError::NotConstant(index as u8))
    }

    /// An input that is weights in tiles.
    ///
    /// # Errors
    /// [`OperatorError::Operand`], [`OperatorError::Layout`].
    pub(crate) fn tiles(&self, index: usize) -> Result<Tiles<'m>, OperatorError> {
        let (info, activations) = self.weights(index)?;
        let layout = OperatorError::Layout(index as u8);
        let activations = activations.ok_or(layout)?;
        let bytes = self.bytes_of(&info).ok_or(layout)?;
        let tiles = <[i8]>::ref_from_bytes(bytes).map_err(|_| layout)?;
        Ok(Tiles { tiles, activations })
    }

    /// An input that is weights of 16 bits in this layout: pairs, or transformed.
    ///
    /// # Errors
    /// [`OperatorError::Operand`], [`OperatorError::Layout`].
    pub(crate) fn weights_of_16_bits(
        &self,
        index: usize,
        wanted: Layout,
    ) -> Result<&'m [i16], OperatorError> {
        let (info, _) = self.weights(index)?;
        let layout = OperatorError::Layout(index as u8);
        let bytes = self.bytes_of(&info).filter(|_| info.layout == wanted).ok_or(layout)?;
        <[i16]>::ref_from_bytes(bytes).map_err(|_| layout)
    }

    /// An input that is weights of floats in tiles: f32, or the bits of f16. The caller has seen its
    /// type.
    ///
    /// # Errors
    /// [`OperatorError::Operand`], [`OperatorError::Layout`].
    pub(crate) fn float_tiles<T: FromBytes + Immutable + KnownLayout>(
        &self,
        index: usize,
    ) -> Result<&'m [T], OperatorError> {
        let (info, _) = self.weights(index)?;
        let layout = OperatorError::Layout(index as u8);
        let bytes = self.bytes_of(&info).ok_or(layout)?;
        <[T]>::ref_from_bytes(bytes).map_err(|_| layout)
    }

    /// The bytes of a constant, or of weights that are not in the file.
    fn bytes_of(&self, info: &TensorInfo<'_>) -> Option<&'m [u8]> {
        if info.place.storage == Storage::Apart {
            return self.apart.get(..info.place.bytes);
        }
        if let Some(bytes) = self.residents.get(self.model, info) {
            return Some(bytes);
        }
        let start = info.place.offset;
        self.model.constants().get(start..start + info.place.bytes)
    }

    /// The scales of `channels` output channels: input `index` holds the multipliers (int32, or
    /// float32 or float64 where the rounding says so), input `index + 1` the shifts (int8) where
    /// the rounding is a fixed-point one.
    ///
    /// # Errors
    /// Those of [`Record::constant`]; [`OperatorError::Shape`] where there is neither one scale nor
    /// one per channel; [`OperatorError::Rounding`] for a record that states none.
    pub fn requantize(
        &self,
        index: usize,
        channels: usize,
    ) -> Result<Requantize<'m>, OperatorError> {
        let check = |index: usize, length: usize| {
            if length == 1 || length == channels {
                Ok(())
            } else {
                Err(OperatorError::Shape(index as u8))
            }
        };
        let rounding = self.rounding()?;
        match rounding {
            RoundingCode::None => return Err(OperatorError::Rounding(rounding as u8)),
            RoundingCode::Float32 => {
                let scales = self.constant(index)?;
                check(index, scales.len())?;
                return Ok(Requantize::Float32(scales));
            }
            RoundingCode::Float64 => {
                let scales = self.constant(index)?;
                check(index, scales.len())?;
                return Ok(Requantize::Float64(scales));
            }
            RoundingCode::Double | RoundingCode::DoubleUp | RoundingCode::Single => {}
        }
        let scales =
            FixedScales { multiplier: self.constant(index)?, shift: self.constant(index + 1)? };
        check(index, scales.multiplier.len())?;
        if scales.shift.len() != scales.multiplier.len() {
            return Err(OperatorError::Shape(index as u8 + 1));
        }
        Ok(match rounding {
            RoundingCode::Double => Requantize::Double(scales),
            RoundingCode::DoubleUp => Requantize::DoubleUp(scales),
            _ => Requantize::Single(scales),
        })
    }
}

impl<'m> Record<'m> {
    /// The scales of `channels` output channels whose sums have 64 bits: as [`Record::requantize`],
    /// under any fixed-point rounding (they agree here) or `float64`.
    ///
    /// # Errors
    /// As [`Record::requantize`]; [`OperatorError::Rounding`] for `float32` too.
    pub fn requantize_wide(
        &self,
        index: usize,
        channels: usize,
    ) -> Result<RequantizeWide<'m>, OperatorError> {
        match self.requantize(index, channels)? {
            Requantize::Double(scales)
            | Requantize::DoubleUp(scales)
            | Requantize::Single(scales) => Ok(RequantizeWide::Fixed(scales)),
            Requantize::Float64(scales) => Ok(RequantizeWide::Float64(scales)),
            Requantize::Float32(_) => Err(OperatorError::Rounding(RoundingCode::Float32 as u8)),
        }
    }
}

impl<'m> TensorInfo<'m> {
    /// Fails unless the tensor is stored as `dtype`; `operand` is what the error names.
    ///
    /// # Errors
    /// [`OperatorError::Type`].
    pub(crate) fn expect_type(self, dtype: DType, operand: usize) -> Result<Self, OperatorError> {
        let found = self.stored_dtype();
        if found == dtype {
            Ok(self)
        } else {
            Err(OperatorError::Type { operand: operand as u8, found })
        }
    }

    /// Fails unless the tensor has these dimensions; `operand` is what the error names.
    ///
    /// # Errors
    /// [`OperatorError::Shape`].
    pub(crate) fn expect_shape(
        self,
        dims: &[usize],
        operand: usize,
    ) -> Result<Self, OperatorError> {
        if self.shape().dims().iter().map(|&dim| dim as usize).eq(dims.iter().copied()) {
            Ok(self)
        } else {
            Err(OperatorError::Shape(operand as u8))
        }
    }

    /// Fails unless the tensor has `rank` dimensions; `operand` is what the error names.
    ///
    /// # Errors
    /// [`OperatorError::Shape`].
    pub(crate) fn expect_rank(self, rank: usize, operand: usize) -> Result<Self, OperatorError> {
        if self.shape().rank() == rank {
            Ok(self)
        } else {
            Err(OperatorError::Shape(operand as u8))
        }
    }
}
