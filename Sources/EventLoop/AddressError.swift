/// A text that is no address, and why.
public struct AddressError: Error, Equatable, Sendable, CustomStringConvertible {
    /// What is wrong.
    public enum Code: String, Sendable {
        /// Nothing there.
        case empty = "empty_address"
        /// The host part is no literal address, or no legal name where names are allowed.
        case badHost = "bad_host"
        /// The port is missing.
        case missingPort = "missing_port"
        /// The port is no number from 0 to 65535.
        case badPort = "bad_port"
        /// The zone behind the `%` names no interface.
        case unknownZone = "unknown_zone"
        /// The path of a Unix socket is empty, too long for the kernel or contains a NUL.
        case badPath = "bad_path"
    }

    /// What is wrong.
    public let code: Code
    /// The text that was to be parsed.
    public let text: String

    /// Says what is wrong with `text`.
    public init(_ code: Code, _ text: String) {
        self.code = code
        self.text = text
    }

    /// What is wrong and how it should look.
    public var description: String {
        switch code {
        case .empty: "an address is missing; write HOST:PORT or unix:/path"
        case .badHost: "\"\(text)\" has no usable host; write 192.0.2.1:80, [2001:db8::1]:80 or unix:/path"
        case .missingPort: "\"\(text)\" has no port; write HOST:PORT"
        case .badPort: "\"\(text)\" has a bad port; it must be a number from 0 to 65535"
        case .unknownZone: "\"\(text)\" names no network interface behind the %; see `ip link`"
        case .badPath:
            "\"\(text)\" is no usable socket path; it must have 1 to \(SocketAddress.maximumPathLength) bytes"
        }
    }
}
