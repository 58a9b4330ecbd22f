// A `fetch` that hands over each chunk of a response in a turn of the loop of its own. The SDK mixes up the messages of
// two chunks that it reads in one turn: the later ones overtake.

export const inTurns = async (input, init) => {
  const response = await fetch(input, init);
  if (response.status !== 200) return response; // others have no body, which pages show as an empty one
  const turns = new TransformStream({
    async transform(chunk, controller) {
      await new Promise((resolve) => setTimeout(resolve));
      controller.enqueue(chunk);
    },
  });
  return new Response(response.body.pipeThrough(turns), response);
};
