//! A macro that knows where cargo compiles its user.
use proc_macro::TokenStream;

#[proc_macro]
pub fn package(_: TokenStream) -> TokenStream {
    format!("{:?}", std::env::var("CARGO_PKG_NAME").unwrap()).parse().unwrap()
}
