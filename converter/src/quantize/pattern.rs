//! Patterns that name layers.

use crate::graph::{Graph, Node};

/// Whether `name` matches `pattern`: `*` stands for any text, `?` for one character.
pub fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    // Where the last `*` was, and how much of the name it has taken so far.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        if p < pattern.len() && (pattern[p] == '?' || pattern[p] == name[n]) && pattern[p] != '*' {
            (p, n) = (p + 1, n + 1);
        } else if pattern.get(p) == Some(&'*') {
            star = Some((p, n));
            p += 1;
        } else if let Some((at, taken)) = star {
            star = Some((at, taken + 1));
            (p, n) = (at + 1, taken + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|&c| c == '*')
}

/// The name that a layer is known by: that of its first output, or, where that has none, where it is
/// from.
pub fn layer_name<'g>(graph: &'g Graph, node: &'g Node) -> &'g str {
    let output = node.outputs.first().map(|&id| &graph[id].name[..]);
    output.filter(|name| !name.is_empty()).unwrap_or(&node.origin)
}

/// Whether a pattern names a node: by an output's name, or by where it is from, as errors and
/// reports say it: "operator 3 (CONV_2D)".
pub fn names(pattern: &str, graph: &Graph, node: &Node) -> bool {
    let outputs = node.outputs.iter().map(|&id| &graph[id].name[..]);
    outputs.chain([&node.origin[..]]).any(|name| matches(pattern, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_text() {
        for (pattern, name, expected) in [
            ("*", "", true),
            ("conv", "conv", true),
            ("conv", "conv1", false),
            ("conv*", "conv/1", true),
            ("*relu", "a/relu/relu", true),
            ("*relu", "a/relu/x", false),
            ("a*b*c", "a-b-b-c", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("", "x", false),
            ("*3 (CONV_2D)", "operator 3 (CONV_2D)", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
