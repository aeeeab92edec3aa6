/// One key as people and other programs see it: for flags, help, documentation.
public struct ConfigurationKey: Sendable, Hashable {
    /// The key: `listen.mesh`; of a list's elements `services[].weight`.
    public let name: String
    /// What it is for, in a line.
    public let summary: String
    /// What its values are: `a duration from 1s to 1h`.
    public let type: String
    /// The value's name in help texts: `DURATION`.
    public let placeholder: String
    /// The default as it would be written, or in words.
    public let defaultText: String
    /// Whether it must be given.
    public let isRequired: Bool
    /// Whether its values are true and false, so that the flag needs no value and has a `--no-` form.
    public let isBoolean: Bool
    /// Whether it is a key of a list's elements, which has no flag and no variable of its own.
    public let isElement: Bool
    /// Whether a change is applied on reload or needs a restart.
    public let effect: ConfigurationChange.Effect

    /// The flag without its dashes: `node.stateDirectory` → `node-state-directory`.
    public let flag: String
    /// The environment variable: `node.stateDirectory` → `MESH_NODE_STATE_DIRECTORY`.
    public let environment: String

    init(
        name: String, summary: String, type: String, placeholder: String, defaultText: String, isRequired: Bool,
        isBoolean: Bool, isElement: Bool, effect: ConfigurationChange.Effect
    ) {
        self.name = name
        self.summary = summary
        self.type = type
        self.placeholder = placeholder
        self.defaultText = defaultText
        self.isRequired = isRequired
        self.isBoolean = isBoolean
        self.isElement = isElement
        self.effect = effect
        flag = Self.words(of: name, between: UInt8(ascii: "-")).lowercased()
        environment = "MESH_" + Self.words(of: name, between: UInt8(ascii: "_")).uppercased()
    }

    /// The same key of an element of a list.
    func inside(_ list: String) -> ConfigurationKey {
        ConfigurationKey(
            name: list + name, summary: summary, type: type, placeholder: placeholder, defaultText: defaultText,
            isRequired: isRequired, isBoolean: isBoolean, isElement: true, effect: effect)
    }

    /// The words of a key, which are parted by dots and capital letters.
    private static func words(of name: String, between separator: UInt8) -> String {
        var bytes: [UInt8] = []
        for byte in name.utf8 {
            let isCapital = (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte)
            if isCapital { bytes.append(separator) }
            bytes.append(byte == UInt8(ascii: ".") ? separator : byte)
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
