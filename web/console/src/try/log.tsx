// The frames of a session, as they arrive.

import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { bytes } from "../format.js";
import { timeOf } from "./format.js";
import { type Direction, type Frame, readable } from "./frames.js";
import { copy } from "./hooks.js";

interface Props {
  /** All frames that are shown, the oldest first. */
  readonly frames: readonly Frame[];
  /** True if the view stays as it is. */
  readonly isPaused: boolean;
  readonly empty: string;
  /** Called when the reader scrolls away from the newest frame, and when they come back. */
  readonly onFollow: (isFollowing: boolean) => void;
  /** Called when the reader chooses a frame. */
  readonly onChoose: () => void;
}

const SIGNS: Readonly<Record<Direction, string>> = { in: "↓", out: "↑", state: "•" };
const WORDS: Readonly<Record<Direction, string>> = { in: "received", out: "sent", state: "state" };
/** Characters of a frame in the list. */
const SHORT = 300;
/** Characters of a frame that is opened. */
const LONG = 50_000;
/** Rows above and below the visible ones. */
const MARGIN = 4;

/** A list of frames, of which only the visible ones are elements of the page, and the one that was chosen. */
export function Log({ frames, isPaused, empty, onFollow, onChoose }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const [chosen, setChosen] = useState<Frame>();
  const [top, setTop] = useState(0);
  const [height, setHeight] = useState(0);
  const row = rowHeight();
  useLayoutEffect(() => {
    const element = box.current;
    if (element !== null && !isPaused) {
      element.scrollTop = element.scrollHeight;
      setTop(element.scrollTop);
    }
  });
  useEffect(() => {
    const resized = new ResizeObserver(([entry]) => setHeight(entry?.contentRect.height ?? 0));
    resized.observe(box.current!);
    return () => resized.disconnect();
  }, []);
  const scrolled = (): void => {
    const element = box.current;
    if (element !== null) {
      // a page that is left has scrolled a moment ago
      setTop(element.scrollTop);
      onFollow(element.scrollTop + element.clientHeight >= element.scrollHeight - row);
    }
  };
  const choose = (index: number): void => {
    const next = Math.min(Math.max(index, 0), frames.length - 1);
    if (frames[next] !== undefined) {
      setChosen(frames[next]);
      onChoose();
      reveal(box.current!, next, row);
    }
  };
  const pressed = (event: KeyboardEvent): void => {
    const at = chosen === undefined ? -1 : frames.indexOf(chosen);
    const page = Math.max(Math.floor(height / row) - 1, 1);
    const last = frames.length - 1;
    const next = {
      ArrowDown: at < 0 ? last : at + 1,
      ArrowUp: at < 0 ? last : at - 1,
      PageDown: at + page,
      PageUp: at - page,
      Home: 0,
      End: last,
    }[event.key];
    if (next !== undefined && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      choose(next);
    } else if (event.key === "Escape") {
      setChosen(undefined);
    }
  };
  const first = Math.max(Math.floor(top / row) - MARGIN, 0);
  const visible = frames.slice(first, first + Math.ceil(height / row) + 2 * MARGIN);
  return (
    <>
      <div
        class="try-log"
        role="log"
        aria-live="off"
        aria-label="Frames. The arrow keys choose one."
        tabIndex={0}
        ref={box}
        onScroll={scrolled}
        onKeyDown={pressed}
      >
        {frames.length === 0 && <p class="try-empty">{empty}</p>}
        <div class="try-space" style={{ height: `${frames.length * row}px` }}>
          <div style={{ transform: `translateY(${first * row}px)` }}>
            {visible.map((frame, index) => (
              <div
                key={index}
                class="try-frame"
                data-direction={frame.direction}
                data-bad={frame.isBad}
                aria-current={frame === chosen}
                onClick={() => choose(first + index)}
              >
                <span class="try-time">{timeOf(frame.at)}</span>
                <span class="try-sign" aria-hidden="true">
                  {SIGNS[frame.direction]}
                </span>
                <span class="hidden">{WORDS[frame.direction]}</span>
                <span class="try-size">{frame.direction === "state" ? "" : bytes(frame.size)}</span>
                <span class="try-text">{frame.text.slice(0, SHORT) || "(empty)"}</span>
                {frame.note !== "" && <span class="try-note">{frame.note}</span>}
              </div>
            ))}
          </div>
        </div>
      </div>
      {chosen && (
        <Opened
          frame={chosen}
          onClose={() => {
            setChosen(undefined);
            box.current?.focus();
          }}
        />
      )}
    </>
  );
}

/** One frame, in full. */
function Opened({ frame, onClose }: { frame: Frame; onClose: () => void }) {
  const [isCopied, setCopied] = useState(false);
  useEffect(() => setCopied(false), [frame]);
  const text = readable(frame);
  const isCut = frame.isCut || text.length > LONG;
  return (
    <section class="try-opened" aria-label="The chosen frame" aria-live="polite">
      <header>
        <p>
          <b>{WORDS[frame.direction]}</b> {timeOf(frame.at)}
          {frame.direction !== "state" && `, ${bytes(frame.size)}`}
          {frame.note && (
            <>
              {" "}
              <span class="try-note">{frame.note}</span>
            </>
          )}
        </p>
        <button type="button" class="try-small" onClick={() => void copy(frame.text).then(setCopied)}>
          {isCopied ? "Copied" : "Copy"}
        </button>
        <button type="button" class="try-small" onClick={onClose}>
          Close
        </button>
      </header>
      <pre tabIndex={0} role="region" aria-label="Content of the frame">
        {text.slice(0, LONG)}
      </pre>
      {isCut && <p class="try-hint">Only the beginning is shown.</p>}
    </section>
  );
}

/** Scrolls as little as needed to show a row. */
function reveal(box: HTMLElement, index: number, row: number): void {
  if (index * row < box.scrollTop) {
    box.scrollTop = index * row;
  } else if ((index + 1) * row > box.scrollTop + box.clientHeight) {
    box.scrollTop = (index + 1) * row - box.clientHeight;
  }
}

/** Returns the height of a row in pixels, as in the style sheet. */
function rowHeight(): number {
  return 1.75 * Number.parseFloat(getComputedStyle(document.documentElement).fontSize);
}
