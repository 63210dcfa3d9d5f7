"""What one POST carries: an event or several, bare or in an envelope. A new form of payload is added here."""
