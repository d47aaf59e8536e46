use berth_model::{Invalid, excerpt};

/// Reads a size in bytes: `65536`, `64KiB`, `1MiB`, `1GiB`; `KB` and its like are powers of ten.
///
/// # Errors
/// It is no such size, or more than the machine can count.
pub fn parse_size(text: &str) -> Result<usize, Invalid> {
    let digits = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor: Option<usize> = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => Some(1),
        "kib" | "k" => Some(1 << 10),
        "mib" | "m" => Some(1 << 20),
        "gib" | "g" => Some(1 << 30),
        "kb" => Some(1_000),
        "mb" => Some(1_000_000),
        "gb" => Some(1_000_000_000),
        _ => None,
    };
    let size =
        number.parse::<usize>().ok().zip(factor).and_then(|(number, factor)| number.checked_mul(factor));
    size.ok_or_else(|| {
        Invalid::new("size", format!("is {}", excerpt(text)), "Write a number and a unit, such as 64KiB.")
    })
}
