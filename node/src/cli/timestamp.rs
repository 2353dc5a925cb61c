//! Times on the command line.

const DAY_MS: i64 = 86_400_000;

/// Milliseconds since 1970, as a number or as an RFC 3339 date and time.
pub fn parse_timestamp(text: &str) -> Result<i64, String> {
    if let Ok(ms) = text.parse() {
        return if ms >= 0 { Ok(ms) } else { Err("a time before 1970".to_owned()) };
    }
    rfc3339(text).ok_or_else(|| {
        format!("{text:?} is not a time: expected milliseconds or YYYY-MM-DDTHH:MM:SS[.fraction](Z|+HH:MM)")
    })
}

/// A time in milliseconds since 1970 as an RFC 3339 date and time in UTC.
pub fn format_timestamp(ms: i64) -> String {
    let (days, rest) = (ms.div_euclid(DAY_MS), ms.rem_euclid(DAY_MS));
    // Civil dates from days, counted from 1 March of the year 0: leap days then end their years (H. Hinnant).
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    let (hour, minute, second, millis) = (rest / 3_600_000, rest / 60_000 % 60, rest / 1000 % 60, rest % 1000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

fn rfc3339(text: &str) -> Option<i64> {
    let (date, rest) = (text.get(..10)?, text.get(11..)?);
    if !matches!(text.as_bytes()[10], b'T' | b't' | b' ') {
        return None;
    }
    let (year, month, day) = three_numbers(date, '-', [4, 2, 2])?;
    let (hour, minute, second) = three_numbers(rest.get(..8)?, ':', [2, 2, 2])?;
    let days = days_since_epoch(year, month, day)?;
    // A leap second counts as the second after it.
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (fraction, zone) = split_fraction(rest.get(8..)?)?;
    let seconds = days * 86_400 + (hour * 60 + minute) * 60 + second - offset_seconds(zone)?;
    seconds.checked_mul(1000)?.checked_add(fraction)
}

fn three_numbers(text: &str, separator: char, lengths: [usize; 3]) -> Option<(i64, i64, i64)> {
    let mut parts = text.split(separator).zip(lengths).map(|(part, length)| number(part, length));
    let numbers = (parts.next()??, parts.next()??, parts.next()??);
    (text.matches(separator).count() == 2).then_some(numbers)
}

fn number(text: &str, length: usize) -> Option<i64> {
    (text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

/// The milliseconds of a fraction, if there is one, and what follows it.
fn split_fraction(text: &str) -> Option<(i64, &str)> {
    let Some(rest) = text.strip_prefix('.') else { return Some((0, text)) };
    let len = rest.bytes().take_while(u8::is_ascii_digit).count();
    let digits: String = rest[..len].chars().chain("000".chars()).take(3).collect();
    (len > 0).then_some((digits.parse().ok()?, &rest[len..]))
}

fn offset_seconds(zone: &str) -> Option<i64> {
    if matches!(zone, "Z" | "z") {
        return Some(0);
    }
    let sign = match zone.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = zone[1..].split_once(':')?;
    let (hours, minutes) = (number(hours, 2)?, number(minutes, 2)?);
    (hours <= 23 && minutes <= 59).then_some(sign * (hours * 60 + minutes) * 60)
}

/// Days from 1970-01-01 in the Gregorian calendar; none for a day that does not exist or comes before.
fn days_since_epoch(year: i64, month: i64, day: i64) -> Option<i64> {
    let is_leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let february = if is_leap(year) { 29 } else { 28 };
    let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let before = lengths.get(..usize::try_from(month - 1).ok()?)?;
    let length = *lengths.get(before.len())?;
    if year < 1970 || !(1..=length).contains(&day) {
        return None;
    }
    let leap_days = |years: i64| years / 4 - years / 100 + years / 400;
    let years = year - 1970;
    Some(years * 365 + leap_days(year - 1) - leap_days(1969) + before.iter().sum::<i64>() + day - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_milliseconds_or_dates() {
        let check = |text: &str, ms: i64| assert_eq!(parse_timestamp(text), Ok(ms), "{text}");
        check("0", 0);
        check("1700000000000", 1_700_000_000_000);
        check("1970-01-01T00:00:00Z", 0);
        check("2000-02-29T12:34:56.789Z", 951_827_696_789);
        check("2023-11-14T22:13:20Z", 1_700_000_000_000);
        check("2023-11-15 00:13:20.5+02:00", 1_700_000_000_500);
        check("2023-11-14T17:13:20-05:00", 1_700_000_000_000);
        check("2100-03-01T00:00:00Z", 4_107_542_400_000);
    }

    #[test]
    fn times_are_written_as_they_are_read() {
        assert_eq!(format_timestamp(951_827_696_789), "2000-02-29T12:34:56.789Z");
        for day in 0..60_000 {
            let ms = day * DAY_MS + day * 1439;
            assert_eq!(parse_timestamp(&format_timestamp(ms)), Ok(ms), "{}", format_timestamp(ms));
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        let wrong = [
            "",
            "-5",
            "now",
            "2023-11-14",
            "2023-11-14T22:13:20",
            "2023-13-01T00:00:00Z",
            "2023-02-29T00:00:00Z",
            "2100-02-29T00:00:00Z",
            "1969-12-31T23:59:59Z",
            "2023-11-14T24:00:00Z",
            "2023-11-14T22:13:20.Z",
            "2023-11-14T22:13:20+2:00",
            "2023-11-14T22:13:20Zjunk",
            "ü023-11-14T22:13:20Z",
        ];
        for text in wrong {
            assert!(parse_timestamp(text).is_err(), "{text}");
        }
    }
}
