//! `defmt::Format` for what stands for a file or for memory: a line that says what it is, without its
//! bytes. Plain values derive it where they are defined.

use defmt::{Format, Formatter, write};

use crate::{
    Aligned, Arena, Delegated, Model, Operator, Operators, Record, Row, Session, Tensor,
    TensorInfo, TensorMut,
    format::{Entries, ParamsReader, ParamsWriter},
    memory::{Inputs, Memory},
};

impl<T> Format for Aligned<T> {
    fn format(&self, formatter: Formatter<'_>) {
        write!(formatter, "Aligned({} bytes)", size_of::<T>());
    }
}

impl<const BYTES: usize> Format for Arena<BYTES> {
    fn format(&self, formatter: Formatter<'_>) {
        write!(formatter, "Arena({} bytes)", BYTES);
    }
}

impl Format for Model<'_> {
    fn format(&self, formatter: Formatter<'_>) {
        write!(
            formatter,
            "Model({} operators, {} bytes of arena)",
            self.operator_count(),
            self.arena_bytes(),
        );
    }
}

impl Format for Delegated<'_, '_> {
    fn format(&self, formatter: Formatter<'_>) {
        write!(formatter, "Delegated(operator {})", self.operator());
    }
}

impl Format for TensorInfo<'_> {
    fn format(&self, formatter: Formatter<'_>) {
        write!(
            formatter,
            "{} {} scale {} zero_point {}",
            self.dtype(),
            self.shape(),
            self.scale(),
            self.zero_point(),
        );
    }
}

impl Format for Tensor<'_, '_> {
    fn format(&self, formatter: Formatter<'_>) {
        write!(formatter, "Tensor({})", self.info());
    }
}

impl Format for TensorMut<'_, '_> {
    fn format(&self, formatter: Formatter<'_>) {
        write!(formatter, "TensorMut({})", self.info());
    }
}

impl Format for Operator<'_> {
    fn format(&self, formatter: Formatter<'_>) {
        write!(formatter, "{}", self.opcode());
    }
}

impl Format for Operators {
    fn format(&self, formatter: Formatter<'_>) {
        write!(formatter, "{} operators", self.iter().count());
    }
}

impl Format for Row {
    fn format(&self, formatter: Formatter<'_>) {
        write!(formatter, "{} to {}", self.opcode, self.output);
    }
}

impl Format for Record<'_> {
    fn format(&self, formatter: Formatter<'_>) {
        write!(
            formatter,
            "Record(operator {}, {} inputs, {} outputs)",
            self.opcode(),
            self.input_count(),
            self.output_count(),
        );
    }
}

impl Format for Session<'_, '_> {
    fn format(&self, formatter: Formatter<'_>) {
        write!(formatter, "Session({}, next operator {})", self.model(), self.next_operator());
    }
}

impl Format for Entries<'_> {
    fn format(&self, formatter: Formatter<'_>) {
        write!(formatter, "{} entries", self.clone().count());
    }
}

impl<O> Format for Memory<'_, '_, O> {
    fn format(&self, formatter: Formatter<'_>) {
        let bytes: usize = self.arenas.iter().map(|segment| segment.bytes.len()).sum();
        write!(formatter, "Memory({} bytes)", bytes);
    }
}

impl<const GAPS: usize> Format for Inputs<'_, GAPS> {
    fn format(&self, formatter: Formatter<'_>) {
        write!(formatter, "Inputs");
    }
}

impl Format for ParamsReader<'_> {
    fn format(&self, formatter: Formatter<'_>) {
        write!(formatter, "ParamsReader");
    }
}

impl Format for ParamsWriter {
    fn format(&self, formatter: Formatter<'_>) {
        write!(formatter, "ParamsWriter");
    }
}
