"""What tells the people in a conversation that emotion recognition is running (EU AI Act, Art. 50(3))."""

TEXTS = {
    "de": "In diesem Gespräch läuft eine Emotionserkennung.",
    "en": "Emotion recognition is running in this conversation.",
    "es": "En esta conversación se utiliza reconocimiento de emociones.",
    "fr": "La reconnaissance des émotions est utilisée dans cette conversation.",
}
RECORDED = {
    "de": "Ton und Bild werden aufgezeichnet.",
    "en": "Sound and pictures are recorded.",
    "es": "Se graban el sonido y la imagen.",
    "fr": "Le son et l'image sont enregistrés.",
}


def bundled_text(locale: str) -> str | None:
    """For a locale such as "de" or "de-AT" (BCP 47); None where there is none."""
    return TEXTS.get(_language(locale))


def disclosure_text(text: str, locale: str, *, recorded: bool) -> str:
    """`text`, or without one the bundled text, which a setting has checked; and that media is stored, where it is."""
    shown = text or TEXTS[_language(locale)]
    return f"{shown} {RECORDED.get(_language(locale), RECORDED['en'])}" if recorded else shown


def _language(locale: str) -> str:
    return locale.partition("-")[0].lower()
