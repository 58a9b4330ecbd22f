// Hooks that bind a session to its views.

import { useEffect, useRef, useState } from "preact/hooks";
import type { Session } from "./session.js";

/** Returns a part of a session, taken at most once per paint: however fast values arrive, a view renders no faster. */
export function useSession<T>(session: Session, select: (session: Session) => T): T {
  const [, render] = useState({});
  const taken = useRef(select(session));
  const latest = useRef(select);
  latest.current = select;
  taken.current = select(session);
  useEffect(() => {
    let frame = 0;
    const paint = (): void => {
      frame = 0;
      if (!Object.is(taken.current, latest.current(session))) {
        render({});
      }
    };
    const stop = session.subscribe(() => (frame ||= requestAnimationFrame(paint)));
    paint(); // it may have changed before this effect
    return () => {
      stop();
      cancelAnimationFrame(frame);
    };
  }, [session]);
  return taken.current;
}

/** Copies a text. Returns false if the browser refuses. */
export async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copySelected(text); // pages over plain HTTP have no clipboard
  }
}

function copySelected(text: string): boolean {
  const area = document.createElement("textarea");
  const focused = document.activeElement as HTMLElement | null;
  area.value = text;
  area.className = "hidden";
  document.body.append(area);
  area.select();
  try {
    return document.execCommand("copy");
  } finally {
    area.remove();
    focused?.focus();
  }
}
