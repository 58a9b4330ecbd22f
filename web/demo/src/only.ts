/**
 * Shows one part of the page alone, by its id, for other pages that embed it.
 *
 * @returns Whether a part is shown; without an id, all are.
 */
export function only(id: string | null): (part: string) => boolean {
  const chosen = id && document.getElementById(id);
  if (!chosen) {
    return () => true;
  }
  document.documentElement.dataset["only"] = id;
  for (let each: Element | null = chosen; each && each !== document.body; each = each.parentElement) {
    each.classList.add("chosen");
  }
  return (part) => part === id;
}
