//! `#[derive(Emit)]`: prints a kernel's parameters as the Rust expression that makes them again.

use proc_macro::TokenStream;
use proc_macro2::TokenStream as Tokens;
use quote::quote;
use syn::{Data, DeriveInput, Fields, Ident};

/// Implements `systole_kernels::emit::Emit` for a parameter struct, or an enum inside one.
///
/// The expression names the type by its path, so the type has to be public, and so do all fields.
#[proc_macro_derive(Emit)]
pub fn derive_emit(input: TokenStream) -> TokenStream {
    let input = syn::parse_macro_input!(input as DeriveInput);
    expand(&input).unwrap_or_else(|error| error.to_compile_error()).into()
}

fn expand(input: &DeriveInput) -> syn::Result<Tokens> {
    let name = &input.ident;
    let body = match &input.data {
        Data::Struct(data) => {
            let path = name.to_string();
            let (pattern, print) = variant(&path, &data.fields);
            quote! { let Self #pattern = self; #print }
        }
        Data::Enum(data) => {
            let arms = data.variants.iter().map(|v| {
                let ident = &v.ident;
                let (pattern, print) = variant(&format!("{name}::{ident}"), &v.fields);
                quote! { Self::#ident #pattern => { #print } }
            });
            quote! { match self { #(#arms)* } }
        }
        Data::Union(_) => {
            return Err(syn::Error::new_spanned(name, "a union cannot be printed"));
        }
    };
    let mut generics = input.generics.clone();
    for parameter in generics.type_params_mut() {
        parameter.bounds.push(syn::parse_quote!(crate::emit::Emit));
    }
    let (implementation, arguments, conditions) = generics.split_for_impl();
    Ok(quote! {
        impl #implementation crate::emit::Emit for #name #arguments #conditions {
            fn emit(&self, source: &mut crate::emit::Source<'_>) {
                #body
            }
        }
    })
}

/// The pattern that binds a variant's fields, and the statements that print it.
fn variant(path: &str, fields: &Fields) -> (Tokens, Tokens) {
    match fields {
        Fields::Named(named) => {
            let idents: Vec<&Ident> = named.named.iter().filter_map(|f| f.ident.as_ref()).collect();
            let names = idents.iter().map(|ident| ident.to_string());
            let print = quote! {
                source.open(module_path!(), #path, " { ");
                #(source.field(#names, #idents);)*
                source.close("}");
            };
            (quote! { { #(#idents),* } }, print)
        }
        Fields::Unnamed(unnamed) => {
            let idents: Vec<Ident> =
                (0..unnamed.unnamed.len()).map(|i| quote::format_ident!("field_{i}")).collect();
            let print = quote! {
                source.open(module_path!(), #path, "(");
                #(source.item(#idents);)*
                source.close(")");
            };
            (quote! { ( #(#idents),* ) }, print)
        }
        Fields::Unit => (quote! {}, quote! { source.name(module_path!(), #path); }),
    }
}
