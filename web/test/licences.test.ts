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

test("the console names the authors of its packages, and no part names those whose code is not in it", () => {
  const text = notices("wirespeed", "preact", "uplot", "centrifuge", "events");
  for (const holder of ["Wirespeed authors", "Jason Miller", "Leon Sorokin", "Centrifugal Labs", "Joyent", "D. Richard Hipp"]) {
    expect(text).toMatch(new RegExp(`Copyright.*${holder}`));
  }
  expect(notices("wirespeed", "preact")).not.toMatch(/Centrifugal Labs|Dmitry Chestnykh|Leon Sorokin/);
});
