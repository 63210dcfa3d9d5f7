"""What one POST carries: an event or several, bare or in an envelope. Add a new form of payload here."""
