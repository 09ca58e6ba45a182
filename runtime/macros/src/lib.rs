//! `include_model!`, which `systole` re-exports.

use proc_macro::TokenStream;
use proc_macro2::{Literal, TokenStream as Tokens};
use quote::{ToTokens, format_ident, quote};
use syn::{
    Attribute, Ident, LitStr, Token, Visibility,
    parse::{Parse, ParseStream},
};

mod file;

/// Reads a model while compiling and becomes a type that runs it: `include_model!(pub Kws,
/// "models/kws.systole");`, with the path from the package's folder.
///
/// The type holds its arena, so it may live in a `static`; that of a model for several memories
/// (`systole convert --memory`) borrows them, see below. It has
///
/// - `const ARENA_BYTES: usize` and `const MACS: u64`;
/// - `const INPUT: Port` and `OUTPUT`, or `INPUTS` and `OUTPUTS` where there are several: name, type,
///   shape, scale and zero point;
/// - `const LABELS: [&str; N]` where the file has labels;
/// - `const fn new()`;
/// - `run(&mut self, &[i8; N]) -> &[i8; M]`, with an array per input and a tuple of several outputs;
/// - `input_mut()` and `run_in_place()`, which spare the copy of the input;
/// - `run_observed(…, after)`, which calls `after` with the index of each operator that has run.
///
/// Of a model with several arenas, the type has a lifetime, `const MEMORIES: [(&str, usize); N]` with the name
/// and bytes of each memory, and `new(&mut Arena<…>, …)`, which takes an arena for each: statics, which
/// `#[unsafe(link_section)]` puts where they belong. So has one whose weights are brought into its memories
/// (`--memory tcm=64k:1,flash:6`): its `new`, which is not `const` then, copies them.
///
/// `run` calls exactly the kernels that the model needs, with shapes and places as constants; no
/// other kernel becomes part of the program. Its answer is, byte for byte, that of a `Session`.
/// Weights are statics: on a microcontroller they stay in flash.
///
/// With the feature `tflite` the path may be that of a `.tflite` file, which is converted on the way
/// as `systole convert` does by default.
///
/// A missing or invalid file is an error of the compiler that says what is wrong; a changed file is
/// compiled again.
#[proc_macro]
pub fn include_model(input: TokenStream) -> TokenStream {
    let include = syn::parse_macro_input!(input as Include);
    expand(&include).unwrap_or_else(|error| error.to_compile_error()).into()
}

/// The macro's arguments.
struct Include {
    attributes: Vec<Attribute>,
    visibility: Visibility,
    name: Ident,
    path: LitStr,
}

impl Parse for Include {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let attributes = input.call(Attribute::parse_outer)?;
        let (visibility, name) = (input.parse()?, input.parse()?);
        input.parse::<Token![,]>()?;
        let path = input.parse()?;
        input.parse::<Option<Token![,]>>()?;
        Ok(Self { attributes, visibility, name, path })
    }
}

fn expand(include: &Include) -> syn::Result<Tokens> {
    let Include { attributes, visibility, name, path } = include;
    let error = |message: String| syn::Error::new(path.span(), message);
    let file = file::read(&path.value()).map_err(error)?;
    // Named in the expansion, so that a change of the file compiles it again.
    let source = Literal::string(&file.path);
    let bytes = if file.converted {
        Literal::byte_string(file.bytes.as_slice()).into_token_stream()
    } else {
        quote!(include_bytes!(#source))
    };
    let options = systole_core::emit::Options {
        name: &name.to_string(),
        visibility: "pub",
        file: "model_file!()",
    };
    let items = systole_core::emit::rust(file.bytes.as_slice(), options)
        .map_err(|why| error(format!("{}: {why}", path.value())))?;
    let items: Tokens = items.parse().map_err(|why| error(format!("the model's source: {why}")))?;
    let module = format_ident!("systole_model_{}", name.to_string().to_lowercase());
    Ok(quote! {
        #[allow(clippy::all, clippy::pedantic, reason = "written by include_model!")]
        mod #module {
            const _: &[u8] = include_bytes!(#source);
            macro_rules! model_file { () => { #bytes } }
            #items
        }
        #(#attributes)*
        #visibility use #module::#name;
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expansion(arguments: &str) -> Result<String, String> {
        let include: Include = syn::parse_str(arguments).map_err(|why| why.to_string())?;
        expand(&include).map(|tokens| tokens.to_string()).map_err(|why| why.to_string())
    }

    /// A file of these bytes whose name ends as asked, and the macro's arguments for it.
    fn with_file(name: &str, bytes: &[u8]) -> Result<String, String> {
        let folder = std::env::temp_dir().join(format!("systole-macros-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join(name);
        std::fs::write(&path, bytes).unwrap();
        expansion(&format!("pub Model, {path:?}"))
    }

    #[test]
    fn arguments_are_a_visibility_a_name_and_a_path() {
        assert!(expansion("pub Kws").unwrap_err().contains("expected `,`"));
        assert!(expansion("Kws, models").unwrap_err().contains("string literal"));
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = expansion("Kws, \"no/such.systole\"").unwrap_err();
        assert!(error.contains("no/such.systole") && error.contains("No such file"), "{error}");
    }

    #[test]
    fn a_damaged_file_is_refused_with_its_reason() {
        let error = with_file("damaged.systole", b"SYSTOLE\0 and nothing else").unwrap_err();
        assert!(error.contains("damaged.systole: "), "{error}");
        let error = with_file("model.onnx", b"").unwrap_err();
        assert!(error.contains("neither in .systole nor in .tflite"), "{error}");
    }

    #[cfg(not(feature = "tflite"))]
    #[test]
    fn without_the_feature_tflite_files_are_refused_with_the_way_out() {
        let error = with_file("model.tflite", b"").unwrap_err();
        assert!(error.contains("feature `tflite`") && error.contains("systole convert"), "{error}");
    }

    #[cfg(feature = "tflite")]
    #[test]
    fn with_the_feature_damaged_tflite_files_are_refused_with_their_reason() {
        let error = with_file("model.tflite", b"nothing").unwrap_err();
        assert!(error.contains("model.tflite: not a TFLite model"), "{error}");
    }
}
