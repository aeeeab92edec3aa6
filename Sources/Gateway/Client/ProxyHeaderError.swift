/// Why bytes that begin like a PROXY header are none.
public enum ProxyHeaderError: String, Error, Sendable, Hashable, CaseIterable, CustomStringConvertible {
    /// A v1 line longer than 107 bytes or without CR LF.
    case lineTooLong = "line_too_long"
    /// A v1 line that is not `PROXY TCP4|TCP6|UNKNOWN …` with single blanks.
    case badLine = "bad_line"
    /// An address that is not of the announced family, or not in its one form.
    case badAddress = "bad_address"
    /// A port that is no decimal number up to 65535.
    case badPort = "bad_port"
    /// A v2 header of another version than 2.
    case badVersion = "bad_version"
    /// A v2 command other than LOCAL and PROXY.
    case badCommand = "bad_command"
    /// A v2 family or transport that does not exist.
    case badFamily = "bad_family"
    /// A v2 header that is too short for its addresses.
    case tooShort = "too_short"
    /// A v2 header that is longer than accepted here.
    case tooLong = "too_long"
    /// A TLV that does not end with the header, or more TLVs than accepted.
    case badTLV = "bad_tlv"
    /// The checksum does not fit.
    case badChecksum = "bad_checksum"

    /// One sentence for people.
    public var description: String {
        switch self {
        case .lineTooLong: "the PROXY line is longer than 107 bytes"
        case .badLine: "the PROXY line is not: PROXY TCP4|TCP6 source destination port port"
        case .badAddress: "the PROXY header has a bad address"
        case .badPort: "the PROXY header has a bad port"
        case .badVersion: "the PROXY header is not of version 2"
        case .badCommand: "the PROXY header's command is neither LOCAL nor PROXY"
        case .badFamily: "the PROXY header's address family or transport does not exist"
        case .tooShort: "the PROXY header is too short for its addresses"
        case .tooLong: "the PROXY header is longer than \(ProxyProtocol.maximumSize) bytes"
        case .badTLV: "the PROXY header's extensions cannot be read"
        case .badChecksum: "the PROXY header's checksum is wrong"
        }
    }
}
