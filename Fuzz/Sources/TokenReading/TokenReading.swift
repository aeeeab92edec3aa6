import FuzzSupport
import JOSE
import JSON

/// The input's first byte says what the rest is: a token's text, the header and claims of a token (with a line break
/// between them), a DPoP proof, an API key, or one of our files. No signature of it can be right, so nothing may be accepted.
@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let input = Array(UnsafeRawBufferPointer(start: start, count: count))
    guard let kind = input.first else { return 0 }
    let rest = Array(input.dropFirst())
    let text = String(decoding: rest, as: UTF8.self)
    switch kind % 6 {
    case 0: checkToken(text)
    case 1:
        let parts = rest.split(separator: 0x0A, maxSplits: 1, omittingEmptySubsequences: false)
        let body = parts.count == 2 ? Array(parts[1]) : []
        checkToken("\(encode(Array(parts[0]))).\(encode(body)).AAAA")
    case 2: checkCredentials(ClientCredentials(authorization: [text], dpop: [text], method: "GET", url: text))
    case 3: checkCredentials(ClientCredentials(apiKeys: ["cmk_" + text], method: "GET", url: "https://e.example"))
    case 4:
        if let store = checked({ try APIKeyStore(reading: rest) }) {
            let again = require(try? APIKeyStore(reading: store.text), "API keys that were written are refused")
            require(
                again.records == store.records && again.text == store.text, "API keys are written as they were read")
        }
    default:
        if let list = checked({ try RevocationList(reading: rest) }) {
            let again = require(try? RevocationList(reading: list.text), "a list that was written is refused")
            require(again.entries == list.entries && again.text == list.text, "a list is written as it was read")
        }
    }
    return 0
}

private func checkToken(_ token: String) {
    let seen = TokenInspection(token, at: 1_800_000_000)
    require(seen.isSignatureGood == nil, "no key was given, so nothing was verified")
    checkCredentials(
        ClientCredentials(token: token, tokenSource: .message, method: "GET", url: "https://edge.example/x"))
}

private func checkCredentials(_ credentials: ClientCredentials) {
    guard let authenticator else { fatalError("the configuration is refused") }
    for time in [Int64(0), 1_800_000_000] {
        switch authenticator.authenticate(credentials, at: time, remember: { _ in .firstUse }) {
        case .success: require(false, "accepted")
        case .failure(let failure):
            let answer = failure.challenges.joined() + failure.text
            require(answer.utf8.allSatisfy { $0 >= 0x20 && $0 < 0x7F }, "a challenge with characters it cannot have")
            require([400, 401, 503].contains(failure.status), "status \(failure.status)")
            require(failure.detail.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7F }, "a detail of more than one line")
        }
    }
}

private func checked<Result>(_ body: () throws -> Result) -> Result? {
    do {
        return try body()
    } catch {
        guard let error = error as? JOSEError else { fatalError("another error") }
        require(!error.message.isEmpty && !error.hint.isEmpty, "an error without words")
        return nil
    }
}

private func encode(_ bytes: [UInt8]) -> String {
    let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
    var text = ""
    var index = 0
    while index < bytes.count {
        let group = (0..<3).map { index + $0 < bytes.count ? UInt32(bytes[index + $0]) : 0 }
        let word = group[0] << 16 | group[1] << 8 | group[2]
        for place in 0..<min(4, bytes.count - index + 1) {
            text.append(alphabet[Int(word >> (18 - 6 * UInt32(place)) & 63)])
        }
        index += 3
    }
    return text
}

/// The public key of RFC 8037, section A.2, whose private half is not used here.
private let authenticator: Authenticator? = {
    let keys = """
        {"keys":[{"kty":"OKP","crv":"Ed25519","kid":"ed","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
        {"kty":"EC","crv":"P-256","kid":"ec","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}
        """
    guard let set = try? KeySet(reading: Array(keys.utf8)),
        let issuer = try? TrustedIssuer(
            name: "https://i.example", audiences: ["a"], keys: .set(set), claims: ["/a/b": "g"])
    else { return nil }
    return try? Authenticator(
        .init(
            issuers: [issuer], apiKeys: APIKeyStore(random: .init(repeating: 1, count: 32)),
            dpop: DPoPSettings(nonces: nil, startedAt: 0)))
}()
