import Bytes
import FuzzSupport
import Gateway
import HTTP

/// The input is a forwarded field's value as a client chose it. Whatever it is: from a stranger it changes nothing, and a
/// trusted proxy that adds its client behind it is either refused or believed.
@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    guard let start, count > 1 else { return 0 }
    let value = String(decoding: UnsafeRawBufferPointer(start: start + 1, count: count - 1), as: UTF8.self)
    guard value.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F || $0 == 0x09 }) else { return 0 }
    let client = require(IPAddress(parsing: start[0] & 1 == 0 ? "203.0.113.9" : "2001:db8::9"), "an address")
    let proxy = require(IPAddress(parsing: "10.0.0.1"), "an address")
    let trust = ProxyTrust(proxies: CIDRSet([require(CIDR(proxy, length: 8), "a block")]))
    for name in ["X-Forwarded-For", "Forwarded", "X-Real-IP", "X-Forwarded-Proto", "X-Forwarded-Host", "Client-Cert"] {
        // A stranger.
        let own = head([(name, value)])
        let seen = try? trust.client(of: ConnectionFacts(peer: .address(client, port: 1), isTLS: true), request: own)
        require(seen?.address == client && seen?.scheme == .https, "a stranger was believed")
        require(seen?.host?.host == "h" && seen?.certificate == nil, "a stranger was believed")
        // The same with a proxy that adds what it knows, on the same line or on one of its own.
        let facts = ConnectionFacts(peer: .address(proxy, port: 1), isTLS: false)
        let quoted = client.isIPv4 ? "for=\(client)" : "for=\"[\(client)]\""
        let added = name == "Forwarded" ? "\(quoted);proto=https" : client.description
        guard name == "Forwarded" || name == "X-Forwarded-For" else {
            _ = try? trust.client(of: facts, request: own)
            continue
        }
        for fields in [[(name, "\(value), \(added)")], [(name, value), (name, added)]] {
            guard let seen = try? trust.client(of: facts, request: head(fields)) else {
                // X-Forwarded-For: what stands on the left is not even looked at.
                require(name == "Forwarded", "a client made his proxy's field unreadable")
                continue
            }
            require(seen.address == client, "a client chose his address: \(seen)")
            require(name != "Forwarded" || seen.scheme == .https, "a client chose his scheme")
        }
    }
    if let block = try? CIDR(parsing: value) {
        require((try? CIDR(parsing: block.description)) == block, "a block does not read back")
        require(block.contains(block.base), "a block without its first address")
    }
    if let address = IPAddress(parsing: value) {
        require(IPAddress(parsing: address.description) == address, "an address does not read back")
    }
    if let pattern = HostPattern(parsing: value) {
        require(HostPattern(parsing: pattern.description) == pattern, "a host pattern does not read back")
    }
    if let origin = WebOrigin(parsing: value) {
        require(WebOrigin(parsing: origin.description) == origin, "an origin does not read back")
    }
    return 0
}

private func head(_ fields: [(String, String)]) -> HTTPRequestHead {
    require(try? HTTPRequestHead(.get, "/", host: "h", headers: HTTPHeaders(fields)), "a head")
}
