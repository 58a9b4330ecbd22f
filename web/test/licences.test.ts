import { expect, test } from "vitest";
import { notices } from "../licences.ts";

test("the served file names all authors of its code, with the notices that their licences require", () => {
  const text = notices("wirespeed", "centrifuge", "events");
  for (const holder of ["Wirespeed authors", "Centrifugal Labs", "Joyent", "Dmitry Chestnykh", "D. Richard Hipp"]) {
    expect(text).toMatch(new RegExp(`Copyright.*${holder}`));
  }
  expect(text).toContain("The above copyright notice and this permission notice shall be included");
  expect(text).toContain("Redistributions in binary form must reproduce");
  expect(text).toMatch(/^\/\*!\n[^]*\*\/$/);
  expect(text.indexOf("*/")).toBe(text.length - 2);
});

test("the console names the authors of its packages, and none whose code is not in it", () => {
  const text = notices("wirespeed", "preact", "uplot");
  for (const holder of ["Wirespeed authors", "Jason Miller", "Leon Sorokin"]) {
    expect(text).toMatch(new RegExp(`Copyright.*${holder}`));
  }
  expect(text).not.toContain("Centrifugal Labs");
  expect(text).not.toContain("Dmitry Chestnykh");
});
