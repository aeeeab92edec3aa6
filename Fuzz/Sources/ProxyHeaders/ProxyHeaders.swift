import Bytes
import FuzzSupport
import Gateway

/// The input is the beginning of a connection. What is decided stands however the bytes arrive, and a header in the text
/// form reads back from the text that says the same.
@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let input = UnsafeRawBufferPointer(start: start, count: count)
    let whole = ProxyProtocol.parse(input)
    var queue = ByteQueue()
    var pieces = ProxyProtocol.Parsed.incomplete(need: 1)
    var first = FirstBytes.needMore
    for (index, byte) in input.enumerated() {
        queue.append(byte)
        if first == .needMore { first = queue.withReadable { FirstBytes.detect($0) } }
        guard case .incomplete(let need) = pieces else { continue }
        require(need > index, "more is wanted than was there, and not less")
        pieces = ProxyProtocol.parse(&queue)
        require(index < ProxyProtocol.maximumSize, "it waits for more than the limit")
    }
    require(first != .needMore || count < FirstBytes.enough, "enough bytes, and no decision")
    switch whole {
    case .incomplete(let need):
        require(need > count && need <= ProxyProtocol.maximumSize, "an impossible need")
        // Byte by byte a fault may show earlier, never anything else.
        if case .incomplete = pieces { break }
        fatalError("decided although incomplete: \(pieces)")
    case .notProxy:
        require(pieces == .notProxy, "not a header as a whole, but in pieces: \(pieces)")
        require(first != .proxyV1 && first != .proxyV2, "looks like a header and is none")
    case .invalid:
        if case .invalid = pieces { break }
        fatalError("invalid as a whole, but in pieces: \(pieces)")
    case .header(let header):
        require(pieces == whole, "differs byte by byte")
        require(header.size <= count && queue.count == count - header.size, "a wrong size")
        require(first == (header.version == 1 ? .proxyV1 : .proxyV2), "a header that does not look like one")
        check(header)
    }
    return 0
}

private func check(_ header: ProxyHeader) {
    guard case .relayed(let source, let destination) = header.origin else { return }
    for address in [source.address, destination.address] {
        require(IPAddress(parsing: address.description) == address, "an address does not read back")
        require(IPAddress(bytes: address.bytes) == address, "an address's bytes do not read back")
    }
    guard source.address.isIPv4 == destination.address.isIPv4 else { return }
    let family = source.address.isIPv4 ? "TCP4" : "TCP6"
    let line = Array(
        "PROXY \(family) \(source.address) \(destination.address) \(source.port) \(destination.port)\r\n".utf8)
    let again = line.withUnsafeBytes { ProxyProtocol.parse($0) }
    require(again == .header(ProxyHeader(version: 1, origin: header.origin, size: line.count)), "does not read back")
}
