import FuzzSupport
import JOSE
import JSON

/// Any bytes as a key set: refused with words, or keys that are written and read again as the same. A cache never loses a
/// good set by them. Also as the one key of a DPoP proof, and as the file of the local issuer.
@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let input = Array(UnsafeRawBufferPointer(start: start, count: count))
    checkSet(input)
    checkKey(input)
    if let issuer = checked({ try TokenIssuer(reading: input) }) {
        require((try? issuer.keySet)?.keys.count == 1, "an issuer without its key")
        require(!issuer.publicKey.json.text().contains("\"d\""), "the private key is served")
    }
    return 0
}

private func checkSet(_ input: [UInt8]) {
    // OpenSSL's check of an RSA modulus draws witnesses: a modulus that is none may pass once and fail once.
    // (An escape may hide the word.)
    let isStable =
        !input.contains(UInt8(ascii: "\\"))
        && !(0..<max(0, input.count - 2)).contains { input[$0..<($0 + 3)].elementsEqual("RSA".utf8) }
    let set = checked { try KeySet(reading: input) }
    var cache = JWKSCache(lastGood: good)
    require(cache.keys?.keys.count == 1, "the good set is not good")
    guard case .fetch(let number) = cache.tick(at: 0) else { fatalError("the first tick fetches") }
    switch cache.fetched(input, number: number, at: 0) {
    case .replaced(let keys): require(!isStable || keys.keys.count == set?.keys.count, "the cache reads otherwise")
    case .unchanged: require(input == good, "unchanged, but other bytes")
    case .rejected: require((!isStable || set == nil) && cache.keys?.keys.first?.keyID == "ed", "the good set was lost")
    case .ignored: require(false, "the answer was asked for")
    }
    guard let set else { return }
    require(!set.keys.isEmpty, "a set without a key was accepted")
    let kids = set.keys.compactMap(\.keyID)
    require(Set(kids).count == kids.count, "a doubled kid was accepted")
    guard isStable else { return }
    let text = set.json.serialized()
    let again = require(try? KeySet(reading: text), "a set that was written is refused")
    require(again.json.serialized() == text, "a set is written as it was read")
    require(again.keys.map(\.thumbprint) == set.keys.map(\.thumbprint), "another thumbprint")
}

private func checkKey(_ input: [UInt8]) {
    guard let object = (try? JSONReader.parse(input))?.object else { return }
    do {
        let key = try JWK(reading: object, isKept: false)
        require(object["d"] == nil && object["k"] == nil, "a private key was accepted")
        let written = require(key.json.object, "a key is an object")
        let again = require(try? JWK(reading: written, isKept: false), "a key that was written is refused")
        require(again.thumbprint == key.thumbprint && again.key == key.key, "another key")
    } catch {
        require(!error.detail.isEmpty, "a problem without words")
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

/// The public key of RFC 8037, section A.2.
private let good = Array(
    #"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"ed","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#.utf8)
