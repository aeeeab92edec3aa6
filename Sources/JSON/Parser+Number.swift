extension Parser {
    /// Reads a number; the cursor is at its first byte (a digit or `-`; in JSON5 also `+` or `.`).
    mutating func number(_ mark: Builder.Mark) throws(Failure) -> Builder.Value {
        let start = cursor
        let isNegative = base[cursor] == UInt8(ascii: "-")
        if isNegative || base[cursor] == UInt8(ascii: "+") { cursor += 1 }
        guard cursor < count else { throw .expected("a digit", at: cursor, code: .badNumber) }

        var decimal = Decimal()
        if isJSON5 {
            if base[cursor] == UInt8(ascii: "0"), cursor + 1 < count, base[cursor + 1] | 0x20 == UInt8(ascii: "x") {
                return try hexadecimal(start, isNegative, mark)
            }
            if Self.isWord(base[cursor]), !isDigit { throw wordAfterSign(start) }
        }

        let whole = cursor
        decimal.take(base, &cursor, count)
        if cursor - whole > 1, base[whole] == UInt8(ascii: "0") {
            throw Failure(code: .badNumber, offset: start, message: "a number has no leading zero")
        }
        var hasDigits = cursor > whole
        guard hasDigits || isJSON5 else { throw .expected("a digit after '-'", at: cursor, code: .badNumber) }

        var isInteger = true
        if cursor < count, base[cursor] == UInt8(ascii: ".") {
            isInteger = false
            cursor += 1
            let fraction = cursor
            decimal.take(base, &cursor, count)
            decimal.exponent -= cursor - fraction
            guard cursor > fraction || isJSON5 else {
                throw .expected("a digit after the decimal point", at: cursor, code: .badNumber)
            }
            hasDigits = hasDigits || cursor > fraction
        }
        guard hasDigits else { throw .expected("a digit", at: cursor, code: .badNumber) }
        if cursor < count, base[cursor] | 0x20 == UInt8(ascii: "e") {
            isInteger = false
            try exponent(&decimal)
        }
        if cursor < count, Self.isWord(base[cursor]) || base[cursor] == UInt8(ascii: ".") {
            throw .expected("the end of the number", at: cursor, code: .badNumber)
        }
        if isInteger, let integer = decimal.integer(isNegative: isNegative) {
            return builder.integer(integer, mark, cursor)
        }
        return builder.number(try double(decimal, start, isNegative), mark, cursor)
    }

    private var isDigit: Bool { UInt8(ascii: "0")...UInt8(ascii: "9") ~= base[cursor] }

    private func wordAfterSign(_ start: Int) -> Failure {
        Failure(
            code: .badNumber, offset: start, message: "a digit must follow the sign; Infinity and NaN are not accepted")
    }

    private mutating func exponent(_ decimal: inout Decimal) throws(Failure) {
        cursor += 1
        var isNegative = false
        if cursor < count, base[cursor] == UInt8(ascii: "-") || base[cursor] == UInt8(ascii: "+") {
            isNegative = base[cursor] == UInt8(ascii: "-")
            cursor += 1
        }
        guard cursor < count, isDigit else {
            throw .expected("a digit in the exponent", at: cursor, code: .badNumber)
        }
        var value = 0
        while cursor < count, isDigit {
            // Beyond this the number is infinite or zero whatever follows.
            if value < 100_000_000 { value = value * 10 + Int(base[cursor] - UInt8(ascii: "0")) }
            cursor += 1
        }
        decimal.exponent += isNegative ? -value : value
    }

    /// The nearest Double; the number's text is from `start` to the cursor.
    private func double(_ decimal: Decimal, _ start: Int, _ isNegative: Bool) throws(Failure) -> Double {
        if let exact = decimal.double { return isNegative ? -exact : exact }
        var text = String(decoding: bytes[start..<cursor], as: UTF8.self)
        if isJSON5 {
            // Swift's own grammar wants digits on both sides of the point.
            if text.hasPrefix("+") { text.removeFirst() }
            text = text.replacingPoint()
        }
        // nil and infinity are both "too large"; underflow gives zero or a subnormal, the nearest Double.
        guard let value = Double(text), value.isFinite else {
            let name = text.utf8.count > 40 ? "\(text.prefix(40))…" : text
            let message = "\(name) is beyond the range of numbers, which ends at ±1.8e308"
            throw Failure(code: .numberOutOfRange, offset: start, message: message)
        }
        return value
    }

    private mutating func hexadecimal(
        _ start: Int, _ isNegative: Bool, _ mark: Builder.Mark
    ) throws(Failure) -> Builder.Value {
        cursor += 2
        var magnitude: UInt64 = 0
        let first = cursor
        while cursor < count, let digit = Self.hexadecimalDigit(base[cursor]) {
            guard magnitude < 1 << 60 else {
                let message = "a hexadecimal number must fit 64 bits"
                throw Failure(code: .numberOutOfRange, offset: start, message: message)
            }
            magnitude = magnitude << 4 | UInt64(digit)
            cursor += 1
        }
        guard cursor > first else { throw .expected("a hexadecimal digit", at: cursor, code: .badNumber) }
        if cursor < count, Self.isWord(base[cursor]) || base[cursor] == UInt8(ascii: ".") {
            throw .expected("the end of the number", at: cursor, code: .badNumber)
        }
        let value = Decimal(digits: magnitude)
        if let integer = value.integer(isNegative: isNegative) { return builder.integer(integer, mark, cursor) }
        return builder.number(isNegative ? -Double(magnitude) : Double(magnitude), mark, cursor)
    }
}

/// The digits of a number and its power of ten, exact as long as 64 bits hold them.
private struct Decimal {
    /// All digits as one integer; meaningless once `isExact` is false.
    var digits: UInt64 = 0
    var isExact = true
    var exponent = 0

    init(digits: UInt64 = 0) {
        self.digits = digits
    }

    @inline(__always)
    mutating func take(_ base: UnsafePointer<UInt8>, _ cursor: inout Int, _ count: Int) {
        while cursor < count {
            let digit = base[cursor] &- UInt8(ascii: "0")
            guard digit <= 9 else { return }
            let (product, overflow) = digits.multipliedReportingOverflow(by: 10)
            let (sum, carry) = product.addingReportingOverflow(UInt64(digit))
            if overflow || carry { isExact = false }
            digits = sum
            cursor += 1
        }
    }

    /// The integer; nil when it does not fit, and for `-0`, which only a Double can hold.
    func integer(isNegative: Bool) -> Int64? {
        guard isExact else { return nil }
        if !isNegative { return Int64(exactly: digits) }
        if digits == 0 { return nil }
        if digits == 1 << 63 { return .min }
        return Int64(exactly: digits).map { -$0 }
    }

    /// The number where one multiplication or division of exact Doubles rounds correctly (Clinger's fast path).
    var double: Double? {
        guard isExact, digits <= 1 << 53 else { return nil }
        let value = Double(digits)
        switch exponent {
        case 0: return value
        case 1...22: return value * Self.powers[exponent]
        case -22 ... -1: return value / Self.powers[-exponent]
        default: return nil
        }
    }

    private static let powers: [Double] = [
        1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19,
        1e20, 1e21, 1e22,
    ]
}

extension String {
    /// The text of a number with a digit on both sides of its point: `.5` becomes `0.5`, `5.` becomes `5.0`.
    fileprivate func replacingPoint() -> String {
        var result = ""
        var previous: Character = " "
        for character in self {
            if character == ".", !previous.isNumber { result.append("0") }
            if previous == ".", !character.isNumber { result.append("0") }
            result.append(character)
            previous = character
        }
        return previous == "." ? result + "0" : result
    }
}
