// Microphone and camera, which open only after a person has agreed.

const SOUND = { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 };
const PICTURE = { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 15 } };

/** Browsers allow them only to pages from localhost or over https. Raises DOMException. */
export async function capture(withCamera) {
  if (!navigator.mediaDevices) throw new DOMException("", "SecurityError");
  return navigator.mediaDevices.getUserMedia({ audio: SOUND, video: withCamera && PICTURE });
}

export async function camera() {
  return (await navigator.mediaDevices.getUserMedia({ video: PICTURE })).getVideoTracks()[0];
}
