//! The order of a listing, as a query asks for it: `?sort=name|size|modified&order=asc|desc`.

/// What a listing is sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SortBy {
    /// By the bytes of the name.
    #[default]
    Name,
    /// By the size of files; directories have none.
    Size,
    /// By the time of the last change.
    Modified,
}

/// Which end comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// A before Z, small before large, old before new.
    #[default]
    Ascending,
    /// The other way round.
    Descending,
}

/// The order of a listing. The default is by name, ascending.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// Sorted by what.
    pub by: SortBy,
    /// Which end first.
    pub direction: Direction,
}

impl Order {
    /// Reads the query of a request (without the question mark). What is not understood is not an
    /// error: a link with `?utm_source=…` still shows the directory.
    ///
    /// ```
    /// use sendrail_files::{Direction, Order, SortBy};
    ///
    /// let order = Order::from_query(Some(b"sort=size&order=desc"));
    /// assert_eq!(order, Order { by: SortBy::Size, direction: Direction::Descending });
    /// assert_eq!(Order::from_query(Some(b"sort=colour")), Order::default());
    /// ```
    pub fn from_query(query: Option<&[u8]>) -> Self {
        let mut order = Self::default();
        for parameter in query.unwrap_or_default().split(|&byte| byte == b'&') {
            match parameter {
                b"sort=name" => order.by = SortBy::Name,
                b"sort=size" => order.by = SortBy::Size,
                b"sort=modified" => order.by = SortBy::Modified,
                b"order=asc" => order.direction = Direction::Ascending,
                b"order=desc" => order.direction = Direction::Descending,
                _ => {}
            }
        }
        order
    }

    /// The query that asks for this order.
    pub(super) fn query(self) -> &'static str {
        match (self.by, self.direction) {
            (SortBy::Name, Direction::Ascending) => "?sort=name&order=asc",
            (SortBy::Name, Direction::Descending) => "?sort=name&order=desc",
            (SortBy::Size, Direction::Ascending) => "?sort=size&order=asc",
            (SortBy::Size, Direction::Descending) => "?sort=size&order=desc",
            (SortBy::Modified, Direction::Ascending) => "?sort=modified&order=asc",
            (SortBy::Modified, Direction::Descending) => "?sort=modified&order=desc",
        }
    }

    /// What a click on the head of the column `by` asks for: the other direction where it is
    /// sorted already, else the more useful one, which is largest and newest first.
    pub(super) fn after_click(self, by: SortBy) -> Self {
        let descending =
            if self.by == by { self.direction == Direction::Ascending } else { by != SortBy::Name };
        let direction = if descending { Direction::Descending } else { Direction::Ascending };
        Self { by, direction }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SORTS: [SortBy; 3] = [SortBy::Name, SortBy::Size, SortBy::Modified];

    #[test]
    fn every_order_survives_its_query() {
        for by in SORTS {
            for direction in [Direction::Ascending, Direction::Descending] {
                let order = Order { by, direction };
                let query = order.query().strip_prefix('?').map(str::as_bytes);
                assert_eq!(Order::from_query(query), order);
            }
        }
    }

    #[test]
    fn what_is_not_understood_changes_nothing() {
        for query in
            ["", "&", "sort", "sort=", "sort=SIZE", "order=up", "x=sort=size", "=", "\u{e9}"]
        {
            assert_eq!(Order::from_query(Some(query.as_bytes())), Order::default(), "{query}");
        }
        assert_eq!(Order::from_query(None), Order::default());
        assert_eq!(Order::from_query(Some(b"a=b&sort=size&c")).by, SortBy::Size);
    }

    #[test]
    fn two_clicks_turn_a_column_round() {
        for by in SORTS {
            let elsewhere = Order { by: SORTS[(by as usize + 1) % 3], ..Order::default() };
            let once = elsewhere.after_click(by);
            let twice = once.after_click(by);
            assert_eq!((once.by, twice.by), (by, by));
            assert_ne!(once.direction, twice.direction);
        }
    }
}
