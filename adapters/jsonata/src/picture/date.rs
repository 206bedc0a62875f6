//! `fn:format-dateTime`, and its inverse.

mod calendar;
mod format;
mod iso;
mod parse;
mod spec;

pub(crate) use format::format;
pub(crate) use iso::parse_iso;
pub(crate) use parse::Parser;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

const DAYS: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];
