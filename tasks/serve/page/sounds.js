// Sounds that the page records, reads and plays; they go to the server of the page alone, if it has one.

export const RATE = 16000; // of what the model reads
const MOST_BYTES = 8_000_000; // of a file that is sent as it is
export const LONGEST = 30; // seconds of a recording

let context = null;

function audio() {
  context ??= new AudioContext();
  if (context.state === "suspended") context.resume();
  return context;
}

/** A file of the user as it is sent: itself or, if it is large, its samples. */
export async function fitting(file) {
  return file.size > MOST_BYTES ? asWav(file) : file;
}

/** The samples of a sound that the browser can read, one channel at the rate of the model. */
export async function samplesOf(blob) {
  const read = await audio().decodeAudioData(await blob.arrayBuffer());
  const offline = new OfflineAudioContext(1, Math.max(1, Math.round(read.duration * RATE)), RATE);
  const source = offline.createBufferSource();
  source.buffer = read;
  source.connect(offline.destination);
  source.start();
  return (await offline.startRendering()).getChannelData(0);
}

/** A WAV file with the same. */
export async function asWav(blob) {
  const samples = await samplesOf(blob), view = new DataView(new ArrayBuffer(44 + 2 * samples.length));
  const letters = (at, text) => [...text].forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt(0)));
  letters(0, "RIFF"); view.setUint32(4, 36 + 2 * samples.length, true); letters(8, "WAVEfmt ");
  view.setUint32(16, 16, true); view.setUint16(20, 1, true); view.setUint16(22, 1, true);
  view.setUint32(24, RATE, true); view.setUint32(28, 2 * RATE, true); view.setUint16(32, 2, true); view.setUint16(34, 16, true);
  letters(36, "data"); view.setUint32(40, 2 * samples.length, true);
  samples.forEach((value, i) => view.setInt16(44 + 2 * i, Math.round(32767 * Math.min(1, Math.max(-1, value))), true));
  return new Blob([view.buffer], { type: "audio/wav" });
}

/** Records until `stop` is called, or for `LONGEST` seconds; `result` resolves to a WAV file. */
export async function record() {
  const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
  const recorder = new MediaRecorder(stream), parts = [];
  recorder.addEventListener("dataavailable", ({ data }) => parts.push(data));
  const ended = new Promise((resolve) => { recorder.addEventListener("stop", resolve); });
  recorder.start();
  const timer = setTimeout(() => recorder.stop(), 1000 * LONGEST);
  return {
    stop() { clearTimeout(timer); if (recorder.state !== "inactive") recorder.stop(); },
    result: ended.then(() => { stream.getTracks().forEach((track) => track.stop()); return asWav(new Blob(parts, { type: recorder.mimeType })); }),
  };
}

/** Plays samples of a sound, from one second to another; `onmove` gets the time, and null at the end. */
export class Player {
  constructor() {
    this.source = null;
    this.played = 0; // parts of sounds so far
  }

  load({ rate, samples }) {
    this.stop();
    this.rate = rate;
    this.samples = samples;
    this.buffer = null;
  }

  play(start, end, onmove) {
    this.stop();
    const player = audio();
    if (!this.buffer) {
      this.buffer = player.createBuffer(1, Math.max(1, this.samples.length), this.rate);
      this.buffer.copyToChannel(this.samples, 0);
    }
    const source = this.source = player.createBufferSource();
    source.buffer = this.buffer;
    source.connect(player.destination);
    const from = player.currentTime;
    source.start(0, start, end - start);
    this.played += 1;
    const move = () => {
      if (this.source !== source) return;
      onmove(Math.min(end, start + player.currentTime - from));
      requestAnimationFrame(move);
    };
    source.addEventListener("ended", () => { if (this.source === source) { this.source = null; onmove(null); } });
    requestAnimationFrame(move);
  }

  stop() {
    const source = this.source;
    this.source = null;
    source?.stop();
  }
}
