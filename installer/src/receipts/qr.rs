//! QR codes (ISO/IEC 18004): on a terminal, two modules to a character, and as a picture.

use qrcodegen::{QrCode, QrCodeEcc};

/// Light modules around a code, which readers need.
const QUIET: usize = 4;
/// Pixels to a module of a picture.
const SCALE: usize = 8;

/// The modules of a code, its quiet zone included; `true` is dark. `None`: no code is large enough.
pub fn modules(text: &str) -> Option<Vec<Vec<bool>>> {
    let code = QrCode::encode_text(text, QrCodeEcc::Medium).ok()?;
    let size = usize::try_from(code.size()).ok()?;
    let dark = |x: usize, y: usize| {
        let inside = |at: usize| at.checked_sub(QUIET).filter(|at| *at < size).and_then(|at| i32::try_from(at).ok());
        inside(x).zip(inside(y)).is_some_and(|(x, y)| code.get_module(x, y))
    };
    let width = size + 2 * QUIET;
    Some((0..width).map(|y| (0..width).map(|x| dark(x, y)).collect()).collect())
}

/// For a terminal with light text on dark: what is light is drawn.
pub fn half_blocks(modules: &[Vec<bool>]) -> String {
    let mut lines = Vec::new();
    for pair in modules.chunks(2) {
        let lower = |x: usize| pair.get(1).is_none_or(|row| row.get(x).copied().unwrap_or(false));
        let cell = |(x, upper): (usize, &bool)| match (*upper, lower(x)) {
            (false, false) => '█',
            (false, true) => '▀',
            (true, false) => '▄',
            (true, true) => ' ',
        };
        lines.push(pair.first().into_iter().flat_map(|row| row.iter().enumerate()).map(cell).collect::<String>());
    }
    lines.join("\n")
}

/// A picture in PNG, of one bit a pixel.
///
/// # Errors
/// What the encoder says; memory never gives one.
pub fn picture(modules: &[Vec<bool>]) -> Result<Vec<u8>, png::EncodingError> {
    let side = modules.len() * SCALE;
    let mut rows = Vec::with_capacity(side * side.div_ceil(8));
    for row in modules {
        // With eight pixels to a module every module is a byte.
        let line: Vec<u8> = row.iter().map(|dark| if *dark { 0 } else { 0xff }).collect();
        rows.extend(std::iter::repeat_n(line, SCALE).flatten());
    }
    let mut out = Vec::new();
    let width = u32::try_from(side).unwrap_or(u32::MAX);
    let mut encoder = png::Encoder::new(&mut out, width, width);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::One);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&rows)?;
    writer.finish()?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_has_light_around_it_and_fits_its_lines() {
        let modules = modules("CONSIGN1:0123456789").unwrap();
        assert!(modules.iter().take(QUIET).flatten().all(|dark| !dark));
        assert!(modules[QUIET][QUIET], "the corner of the first finder pattern");
        let text = half_blocks(&modules);
        assert_eq!(text.lines().count(), modules.len().div_ceil(2));
        assert!(text.lines().all(|line| line.chars().count() == modules.len()));
        assert!(picture(&modules).unwrap().starts_with(b"\x89PNG"));
        assert!(super::modules(&"A".repeat(5000)).is_none());
    }
}
