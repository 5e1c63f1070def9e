//! The page at `/` of the metrics listener: one file that needs nothing from elsewhere.
//!
//! It shows names that clients chose. So its policy lets the browser run the script and apply the style that are in
//! the file, known by their hashes, and load nothing but the figures from where the page itself came.

use data_encoding::BASE64;
use ring::digest::{SHA256, digest};

/// The page.
pub(super) const PAGE: &str = include_str!("page.html");

/// The value of its header `Content-Security-Policy`.
pub(super) fn policy() -> String {
    format!(
        "default-src 'none'; script-src {}; style-src {}; connect-src 'self'; img-src data:; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'",
        hash_of("script"),
        hash_of("style"),
    )
}

/// What an element of the page holds, as the policy names it.
fn hash_of(element: &str) -> String {
    let text = inside(element).unwrap_or_default();
    format!("'sha256-{}'", BASE64.encode(digest(&SHA256, text.as_bytes()).as_ref()))
}

/// The text of the only element of this name.
fn inside(element: &str) -> Option<&'static str> {
    let (_, behind) = PAGE.split_once(&format!("<{element}>"))?;
    behind.split_once(&format!("</{element}>")).map(|(text, _)| text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_knows_script_and_style() {
        for element in ["script", "style"] {
            assert!(inside(element).is_some_and(|text| text.len() > 1000), "{element}");
            assert_eq!(PAGE.matches(&format!("<{element}")).count(), 1);
        }
        assert!(policy().starts_with("default-src 'none'; script-src 'sha256-"));
    }

    #[test]
    fn the_page_needs_nothing_from_elsewhere_and_builds_no_markup_from_text() {
        for phrase in [
            "http:",
            "https:",
            "//cdn",
            "src=",
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "new Function",
            " onclick",
            " onload",
            " style=",
            "@import",
            "url(",
        ] {
            // The name space of SVG is a name, not an address.
            let text = PAGE.replace("http://www.w3.org/2000/svg", "");
            assert!(!text.contains(phrase), "{phrase}");
        }
    }
}
