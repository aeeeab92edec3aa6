import JSON

/// Serial numbers cut so far that each still tells its certificate from the others of a list.
struct SerialPrefixes {
    /// Fewer digits look alike, and will not be unique for long.
    private static let minimum = 8

    private let length: Int

    /// For certificates as the control API lists them.
    init(_ certificates: [JSONValue]) {
        let serials = Set(certificates.compactMap { $0["serial"]?.string })
        let longest = serials.map(\.count).max() ?? 0
        var length = min(Self.minimum, longest)
        while length < longest, Set(serials.map { $0.prefix(length) }).count < serials.count { length += 1 }
        self.length = length
    }

    /// The serial number of one of them, cut.
    func text(_ certificate: JSONValue) -> String { String(certificate.text(of: "serial").prefix(length)) }
}
