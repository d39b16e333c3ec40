//! `${VAR}` in every string of the configuration, once: what a variable holds is not expanded again.
//!
//! There is no way to write a literal `${`: a password that holds one belongs in a `password_file`, which is not
//! expanded.

use super::Environment;

/// Expands all strings in place; the answer names key and variable of each that cannot be.
pub fn expand(table: &mut toml::Table, environment: Environment<'_>) -> Vec<String> {
    let mut problems = Vec::new();
    expand_table(table, "", environment, &mut problems);
    problems
}

fn expand_table(table: &mut toml::Table, path: &str, environment: Environment<'_>, problems: &mut Vec<String>) {
    for (key, value) in table.iter_mut() {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        expand_value(value, &path, environment, problems);
    }
}

fn expand_value(value: &mut toml::Value, path: &str, environment: Environment<'_>, problems: &mut Vec<String>) {
    if let toml::Value::String(text) = value {
        match expand_text(text, environment) {
            Ok(expanded) => *text = expanded,
            Err(reason) => problems.push(format!("{path}: {reason}")),
        }
    } else if let toml::Value::Array(values) = value {
        values.iter_mut().for_each(|value| expand_value(value, path, environment, problems));
    } else if let toml::Value::Table(table) = value {
        expand_table(table, path, environment, problems);
    }
}

fn expand_text(text: &str, environment: Environment<'_>) -> Result<String, String> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (variable, after) = after.split_once('}').ok_or("`${` without `}`: write ${VARIABLE}")?;
        let value = environment(variable).ok_or_else(|| {
            format!("the environment variable {variable} is not set: set it, or write the value here")
        })?;
        expanded.push_str(before);
        expanded.push_str(&value);
        rest = after;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<&str, &str>) {
        let environment = |name: &str| match name {
            "USER" => Some("anna".to_owned()),
            "NESTED" => Some("${USER}".to_owned()),
            _ => None,
        };
        let answer = expand_text(text, &environment);
        match expected {
            Ok(expected) => assert_eq!(answer.as_deref(), Ok(expected)),
            Err(part) => assert!(answer.as_ref().unwrap_err().contains(part), "{answer:?}"),
        }
    }

    #[test]
    fn variables_are_expanded_once() {
        check("plain $USER {x}", Ok("plain $USER {x}"));
        check("<${USER}-${USER}>", Ok("<anna-anna>"));
        check("${NESTED}", Ok("${USER}"));
        check("${MISSING}", Err("MISSING is not set"));
        check("${USER", Err("without `}`"));
    }

    #[test]
    fn problems_name_the_key() {
        let mut table: toml::Table = "[a]\nb = [\"${X}\"]\n".parse().unwrap();
        let problems = expand(&mut table, &|_| None);
        assert!(problems.len() == 1 && problems[0].starts_with("a.b: the environment variable X"), "{problems:?}");
    }
}
