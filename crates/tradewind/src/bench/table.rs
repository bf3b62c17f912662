//! Tables on a terminal.

use std::fmt::Write as _;

use super::{
    budget::{Bound, Budget},
    figure::{float, shown},
    machine::Machine,
};

/// What it ran on.
pub(super) fn head(machine: &Machine) -> String {
    let Machine {
        cpu,
        cores,
        memory_bytes,
        kernel,
        filesystem,
        disk,
    } = machine;
    format!(
        "Tradewind {} on {cores} cores of {cpu}, {} GiB, Linux {kernel}\n\
         Data on {filesystem}, {disk}\n",
        env!("CARGO_PKG_VERSION"),
        shown(float(*memory_bytes) / float(1 << 30)),
    )
}

/// Each budget, what was measured, and whether it is met.
pub(super) fn budgets(budgets: &[Budget]) -> Vec<Vec<String>> {
    let mut rows = vec![["", "measured", "budget", ""].map(str::to_owned).to_vec()];
    for budget in budgets {
        let sign = match budget.bound {
            Bound::AtMost => "≤",
            Bound::AtLeast => "≥",
        };
        let unit = budget.unit;
        rows.push(vec![
            budget.name.replace('_', " "),
            format!("{} {unit}", shown(budget.measured)),
            format!("{sign} {} {unit}", shown(budget.allowed)),
            if budget.met { "met" } else { "NOT MET" }.to_owned(),
        ]);
    }
    rows
}

/// The rows as a table in Markdown.
pub(super) fn markdown(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    // Spaces before a name say that it belongs to the one above.
    let line = |cells: &[String]| {
        let cells: Vec<_> = cells
            .iter()
            .map(|cell| cell.replace("  ", "&emsp;"))
            .collect();
        format!("| {} |\n", cells.join(" | "))
    };
    let has_head = rows
        .first()
        .and_then(|row| row.first())
        .is_some_and(String::is_empty);
    let (head, body) = rows.split_at(usize::from(has_head));
    let empty = vec![String::new(); columns];
    let mut text = line(head.first().unwrap_or(&empty));
    text.push_str("| --- |");
    text.push_str(&" ---: |".repeat(columns.saturating_sub(1)));
    text.push('\n');
    for row in body {
        text.push_str(&line(row));
    }
    text
}

/// The rows with their columns aligned: the first to the left, the others to the right.
pub(super) fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (at, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let _ = if at == 0 {
                write!(line, "{cell:<width$}")
            } else {
                write!(line, "  {cell:>width$}")
            };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
