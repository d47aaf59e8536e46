/// What a table is asked about a request.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The method, as it came.
    pub method: &'a [u8],
    /// The Host, as it came: in any case, perhaps with a port.
    pub host: Option<&'a [u8]>,
    /// The path in the form that [`normal_path`](crate::normal_path) gives it.
    pub path: &'a [u8],
    /// What follows the `?`, without it.
    pub query: &'a [u8],
}
