/** In place of Prettier, which is not used: see `layout.ts`. */
export const format = (code: string): string => code;
