import FuzzSupport
import WebSocket

/// Header values of both sides' handshakes. The input is lines; each is a field "name:value".
///
/// What is accepted must be usable: the answer that we write to a request has one empty line, at its end, and our own
/// client accepts it.
@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let input = UnsafeRawBufferPointer(start: start, count: count)
    var fields: [String: [String]] = [:]
    for line in input.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: true) {
        let colon = line.firstIndex(of: UInt8(ascii: ":")) ?? line.endIndex
        let name = String(decoding: line[..<colon], as: UTF8.self).lowercased()
        fields[name, default: []].append(String(decoding: line[colon...].dropFirst(), as: UTF8.self))
    }
    let lookup: Handshake.HeaderLookup = { fields[$0.lowercased()] ?? [] }
    let known = ["conduit.link.v1", "chat"]

    switch Handshake.checkRequest(method: "GET", headers: lookup, protocols: known) {
    case .success(let request):
        require(request.selectedProtocol.map { known.contains($0) } ?? true, "a protocol that is not known")
        answer(request, key: require(fields["sec-websocket-key"]?.first, "accepted without a key"))
    case .failure(let refusal):
        require([400, 405, 426].contains(refusal.status), "status \(refusal.status)")
    }
    if case .success(let response) = Handshake.checkResponse(
        status: 101, headers: lookup, key: "dGhlIHNhbXBsZSBub25jZQ==", protocols: known)
    {
        require(response.extensions.allSatisfy { $0.utf8.allSatisfy { ", \t".utf8.contains($0) } }, "an extension")
    }
    request(String(decoding: input, as: UTF8.self))
    return 0
}

private func answer(_ request: Handshake.Request, key: String) {
    let head = require(try? Handshake.response(to: request), "accepted, but no answer")
    let lines = check(head)
    var fields: [String: [String]] = [:]
    for line in lines.dropFirst() {
        let parts = line.split(separator: ":", maxSplits: 1)
        fields[parts[0].lowercased(), default: []].append(String(parts[1].dropFirst()))
    }
    let result = Handshake.checkResponse(
        status: 101, headers: { fields[$0.lowercased()] ?? [] }, key: key, protocols: request.offeredProtocols)
    guard case .success(let response) = result, response.selectedProtocol == request.selectedProtocol else {
        fatalError("our client refuses our server")
    }
}

/// Whatever stands in a path, a host or a field, a request that is written keeps its lines.
private func request(_ text: String) {
    let key = Handshake.key(random: (1, 2))
    if let head = try? Handshake.clientRequest(host: "h", path: text, key: key) {
        require(check(head).count == 6, "lines")
    }
    if let head = try? Handshake.clientRequest(host: text, path: "/", key: key) {
        require(check(head).count == 6, "lines")
    }
    if let head = try? Handshake.clientRequest(host: "h", path: "/", protocols: [text], key: key) {
        require(check(head).count == 7, "lines")
    }
    if let head = try? Handshake.clientRequest(host: "h", path: "/", key: key, extraHeaders: [("X", text)]) {
        require(check(head).count == 7, "lines")
    }
    if let head = try? Handshake.clientRequest(host: "h", path: "/", key: key, extraHeaders: [(text, "x")]) {
        require(check(head).count == 7, "lines")
    }
}

/// The lines of a head, which ends with its only empty line and has no stray CR or LF.
private func check(_ head: [UInt8]) -> [String] {
    let text = String(decoding: head, as: UTF8.self)
    require(Array(text.utf8) == head, "not UTF-8")
    var lines: [String] = []
    var line: [UInt8] = []
    var index = 0
    while index < head.count {
        if head[index] == 13 {
            require(index + 1 < head.count && head[index + 1] == 10, "a stray CR")
            lines.append(String(decoding: line, as: UTF8.self))
            line = []
            index += 2
        } else {
            require(head[index] != 10, "a stray LF")
            line.append(head[index])
            index += 1
        }
    }
    require(line.isEmpty && lines.last == "" && !lines.dropLast().contains(""), "empty lines")
    return lines.dropLast()
}
