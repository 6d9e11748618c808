//! rounds.csv: one line per case, figure, server and round, for a spreadsheet or a data frame.

use anyhow::{Context, Result};

use super::Run;

pub(super) fn of_run(run: &Run) -> Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer
        .write_record(["case", "figure", "unit", "server", "round", "value"])
        .context("writing the head of the CSV")?;
    for case in &run.cases {
        for figure in &case.figures {
            for (server, rounds) in run.servers.iter().zip(&figure.rounds) {
                for (number, value) in rounds.iter().enumerate() {
                    let measure = figure.measure;
                    let (round, value) = ((number + 1).to_string(), value.to_string());
                    writer
                        .write_record([
                            &case.name,
                            measure.key,
                            measure.unit,
                            &server.name,
                            &round,
                            &value,
                        ])
                        .context("writing a line of the CSV")?;
                }
            }
        }
    }
    let bytes = writer.into_inner().context("finishing the CSV")?;
    String::from_utf8(bytes).context("names and numbers are UTF-8")
}
