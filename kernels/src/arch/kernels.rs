//! The kernels of a level: one table each, chosen once.

use crate::Mismatch;
use crate::conv2d::Conv2dI8;
use crate::depthwise_conv2d::{self, DepthwiseConv2dI8};
use crate::tiles::{self, Activations, Tiled};

use super::Level;

/// See [`tiles::conv2d_tiled_i8`].
pub type Conv2dTiledI8 = fn(&Tiled<'_, Conv2dI8<'_>>, &[i8], &mut [i8]) -> Result<(), Mismatch>;

/// See [`depthwise_conv2d::depthwise_conv2d_i8`].
pub type DepthwiseConv2dI8Kernel =
    fn(&DepthwiseConv2dI8<'_>, &[i8], &mut [i8]) -> Result<(), Mismatch>;

/// Declares the table: a name, a type, the portable kernel, and the test that holds any level's
/// kernel against it. So there is no kernel without a test.
macro_rules! table {
    ($($(#[$doc:meta])* $name:ident: $type:ty = $portable:expr, $test:path;)*) => {
        /// The kernels of a level. What it has nothing better for is portable.
        pub struct Kernels {
            /// The level.
            pub level: Level,
            /// How weights have to be packed for it; `None` where it does best with plain ones.
            pub tiles: Option<Activations>,
            $($(#[$doc])* pub $name: $type,)*
        }

        impl Kernels {
            /// The definitions.
            pub const PORTABLE: Self =
                Self { level: Level::Portable, tiles: None, $($name: $portable,)* };
        }

        #[cfg(test)]
        mod tests {
            $(#[test]
            fn $name() {
                for kernels in super::available() {
                    $test(kernels, crate::testing::cases());
                }
            })*
        }
    };
}

table! {
    /// CONV_2D and FULLY_CONNECTED, weights in tiles.
    conv2d_tiled_i8: Conv2dTiledI8 = |p, x, y| tiles::portable(p, x, y), crate::tiles::tests::holds;
    /// DEPTHWISE_CONV_2D, an output for each channel, symmetric weights.
    depthwise_conv2d_i8: DepthwiseConv2dI8Kernel =
        |p, x, y| depthwise_conv2d::portable(p, x, y), crate::depthwise_conv2d::tests::holds;
}

/// The definitions as a table.
pub static PORTABLE: Kernels = Kernels::PORTABLE;

/// The kernels of a level, if this processor has its instructions.
#[cfg(feature = "std")]
pub fn of(level: Level) -> Option<&'static Kernels> {
    match level {
        Level::Portable => Some(&PORTABLE),
        #[cfg(target_arch = "x86_64")]
        Level::Avx512Vnni => super::avx512_vnni::kernels(),
        _ => None,
    }
}

/// The kernels of a level, if this program is compiled for its instructions.
#[cfg(not(feature = "std"))]
pub fn of(level: Level) -> Option<&'static Kernels> {
    match level {
        Level::Portable => Some(&PORTABLE),
        _ => None,
    }
}

/// The tables that this processor can use, from the portable one to the best.
pub fn available() -> impl Iterator<Item = &'static Kernels> {
    Level::ALL.into_iter().filter_map(of)
}

/// The kernels that operators call: those that `SYSTOLE_ISA` names, else the best. A name that is
/// unknown or that this processor does not have counts as none; [`requested`] tells.
#[cfg(feature = "std")]
#[inline]
pub fn kernels() -> &'static Kernels {
    static CHOSEN: std::sync::OnceLock<&'static Kernels> = std::sync::OnceLock::new();
    CHOSEN.get_or_init(|| {
        let named = requested().and_then(|name| of(Level::from_name(&name)?));
        named.or_else(|| available().last()).unwrap_or(&PORTABLE)
    })
}

/// The kernels that operators call: the best that the target is sure to have.
#[cfg(not(feature = "std"))]
#[inline]
pub fn kernels() -> &'static Kernels {
    available().last().unwrap_or(&PORTABLE)
}

/// What `SYSTOLE_ISA` says.
#[cfg(feature = "std")]
pub fn requested() -> Option<std::string::String> {
    std::env::var("SYSTOLE_ISA").ok().filter(|name| !name.is_empty())
}
