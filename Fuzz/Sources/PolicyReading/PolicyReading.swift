import FuzzSupport
import Policy

/// Any bytes: either an error with a place inside of the text, or a policy that answers and explains every question.
@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
    let bytes = Array(UnsafeBufferPointer(start: data, count: size))
    let policy: PolicyDocument
    do {
        policy = try PolicyDocument.parse(bytes, file: "fuzz.json")
    } catch {
        require(error.line >= 1 && error.column >= 1 && !error.message.isEmpty, "an error without its place")
        return 0
    }
    // The text's own words are the most interesting names.
    let text = String(decoding: bytes, as: UTF8.self)
    let words = text.split(whereSeparator: { " \n\t,[]{}\"'".contains($0) }).prefix(24).map(String.init)
    for word in words {
        guard let subject = policy.subject(word, trustDomain: "mesh.example") else { continue }
        let principal = policy.principal(for: subject)
        for verb in Verb.allCases {
            for target in words.prefix(6) {
                let decision = policy.authorize(principal, actingAs: PrincipalID(target), verb, target)
                require(decision.allowed == (decision.reason == .allowed), "two answers")
                require(principal.isIdentified || !decision.allowed, "somebody unknown may do something")
                let explanation = decision.explanation
                require(Explanation(json: explanation.json) == explanation, "the explanation is not read back")
                require(!explanation.text.isEmpty, "no text")
            }
        }
    }
    return 0
}
