import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** Files with MIT licences. Only their copyright lines differ. */
const MIT = {
  wirespeed: "../LICENSE",
  centrifuge: "node_modules/centrifuge/LICENSE",
  events: "node_modules/events/LICENSE",
  preact: "node_modules/preact/LICENSE",
  uplot: "node_modules/uplot/LICENSE",
};

/** Licence of code that centrifuge has copied into its own files. It names this licence, but does not include it. */
const BSD = `
fossil-delta, in centrifuge:
Copyright 2014-2024 Dmitry Chestnykh (JavaScript port)
Copyright 2007 D. Richard Hipp (original C version)

Redistribution and use in source and binary forms, with or without modification, are permitted provided that the
following conditions are met:
1. Redistributions of source code must retain the above copyright notice, this list of conditions and the following
   disclaimer.
2. Redistributions in binary form must reproduce the above copyright notice, this list of conditions and the following
   disclaimer in the documentation and/or other materials provided with the distribution.
THIS SOFTWARE IS PROVIDED BY THE COPYRIGHT HOLDERS AND CONTRIBUTORS "AS IS" AND ANY EXPRESS OR IMPLIED WARRANTIES,
INCLUDING, BUT NOT LIMITED TO, THE IMPLIED WARRANTIES OF MERCHANTABILITY AND FITNESS FOR A PARTICULAR PURPOSE ARE
DISCLAIMED. IN NO EVENT SHALL THE COPYRIGHT HOLDER OR CONTRIBUTORS BE LIABLE FOR ANY DIRECT, INDIRECT, INCIDENTAL,
SPECIAL, EXEMPLARY, OR CONSEQUENTIAL DAMAGES (INCLUDING, BUT NOT LIMITED TO, PROCUREMENT OF SUBSTITUTE GOODS OR
SERVICES; LOSS OF USE, DATA, OR PROFITS; OR BUSINESS INTERRUPTION) HOWEVER CAUSED AND ON ANY THEORY OF LIABILITY,
WHETHER IN CONTRACT, STRICT LIABILITY, OR TORT (INCLUDING NEGLIGENCE OR OTHERWISE) ARISING IN ANY WAY OUT OF THE USE OF
THIS SOFTWARE, EVEN IF ADVISED OF THE POSSIBILITY OF SUCH DAMAGE.
`;

/** Returns the notices that the licences of these parts of a served file require, as a comment that minifiers keep. */
export function notices(...parts: (keyof typeof MIT)[]): string {
  const texts = parts.map((name) => [name, read(MIT[name])] as const);
  const holders = texts.map(([name, text]) => `${name}: ${part(text, /^Copyright.*$/m)}`);
  const terms = part(texts[0]?.[1] ?? "", /^Permission is hereby granted[^]*$/m);
  return `/*!\n${holders.join("\n")}\n\n${terms.trim()}\n${parts.includes("centrifuge") ? BSD : ""}*/`;
}

function read(path: string): string {
  return readFileSync(fileURLToPath(new URL(path, import.meta.url)), "utf8");
}

function part(text: string, pattern: RegExp): string {
  const [found] = pattern.exec(text) ?? [];
  if (found === undefined) {
    throw new Error(`a licence is not as expected: ${pattern} is not in it`);
  }
  return found;
}
