// Anchor of the module; its content is in include/.
