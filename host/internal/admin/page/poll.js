// Reading again and again.

const hiddenEvery = 15_000;
const longestPause = 10_000;

/** Poll reads every so often until it is stopped; rarely while the page is hidden, and less and less often while it fails. */
export class Poll {
  #read;
  #told;
  #every;
  #timer = null;
  #failures = 0;
  #stopped = false;
  #running = false;
  #again = false;
  #seen = () => { if (!document.hidden) this.now(); };

  /** read(signal) returns a promise; told(value, error) hears what became of it. */
  constructor(read, told, every = 1000) {
    [this.#read, this.#told, this.#every] = [read, told, every];
    document.addEventListener("visibilitychange", this.#seen);
    this.now();
  }

  /** now reads at once, and again if that is under way already. */
  async now() {
    this.#again = this.#running;
    if (this.#running || this.#stopped) return;
    clearTimeout(this.#timer);
    this.#running = true;
    try {
      const value = await this.#read(AbortSignal.timeout(25_000));
      this.#failures = 0;
      if (!this.#stopped) this.#told(value, null);
    } catch (error) {
      this.#failures++;
      if (!this.#stopped) this.#told(null, error);
    }
    this.#running = false;
    if (this.#again) return this.now();
    if (!this.#stopped) this.#timer = setTimeout(() => this.now(), this.#pause());
  }

  #pause() {
    const pause = Math.min(this.#every * 2 ** Math.max(0, this.#failures - 2), Math.max(longestPause, this.#every));
    return document.hidden ? Math.max(hiddenEvery, pause) : pause;
  }

  stop() {
    this.#stopped = true;
    clearTimeout(this.#timer);
    document.removeEventListener("visibilitychange", this.#seen);
  }
}
