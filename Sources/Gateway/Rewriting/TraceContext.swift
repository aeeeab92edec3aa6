public import HTTP

/// The trace that a request belongs to (W3C Trace Context, level 1).
public struct TraceContext: Sendable, Hashable {
    /// `version-traceid-parentid-flags`, as in the field.
    public let traceparent: String
    /// What came with it, as one value; nil where there is none.
    public let tracestate: String?
    /// Whether it came with the request; otherwise it was made here.
    public let wasPassedOn: Bool

    /// The trace-id in 32 hexadecimal digits, for logs.
    public var traceID: Substring { Substring(traceparent.utf8.dropFirst(3).prefix(32)) }

    /// The trace of a request: its own where that is valid, passed on unchanged; else a new one, not sampled. Several
    /// traceparent fields, or an invalid one, count as none, and then tracestate is dropped as well (section 3.2 and 3.3).
    public static func of(_ headers: HTTPHeaders, using random: inout some RandomNumberGenerator) -> TraceContext {
        let values = headers.values("traceparent")
        if values.count == 1, isValid(values[0]) {
            let states = headers.values("tracestate").filter { !$0.isEmpty }.joined(separator: ",")
            let isUsable = !states.isEmpty && states.utf8.count <= longestState
            return TraceContext(traceparent: values[0], tracestate: isUsable ? states : nil, wasPassedOn: true)
        }
        var trace: (UInt64, UInt64) = (0, 0)
        while trace == (0, 0) { trace = (random.next(), random.next()) }
        var span: UInt64 = 0
        while span == 0 { span = random.next() }
        let id = RequestID.hex(trace.0) + RequestID.hex(trace.1)
        return TraceContext(traceparent: "00-\(id)-\(RequestID.hex(span))-00", tracestate: nil, wasPassedOn: false)
    }

    /// What every party must pass on (section 3.3.1.5).
    private static let longestState = 512

    /// Lower-case hexadecimal fields of fixed length, no zero ids; later versions may be longer, `ff` does not exist
    /// (section 3.2.2).
    static func isValid(_ text: String) -> Bool {
        let bytes = Array(text.utf8)
        guard bytes.count >= 55, bytes[2] == 0x2D, bytes[35] == 0x2D, bytes[52] == 0x2D else { return false }
        func isHex(_ range: Range<Int>) -> Bool {
            bytes[range].allSatisfy { Text.hexValue($0) != nil && !(0x41...0x46 ~= $0) }
        }
        func isZero(_ range: Range<Int>) -> Bool { bytes[range].allSatisfy { $0 == 0x30 } }
        guard isHex(0..<2), isHex(3..<35), isHex(36..<52), isHex(53..<55) else { return false }
        guard !isZero(3..<35), !isZero(36..<52), !(bytes[0] == 0x66 && bytes[1] == 0x66) else { return false }
        if isZero(0..<2) { return bytes.count == 55 }
        return bytes.count == 55 || bytes[55] == 0x2D && bytes.count <= 256
    }
}
