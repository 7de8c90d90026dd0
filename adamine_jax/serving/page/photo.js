// Takes photos: dropped, pasted, chosen or shot. Large ones are made smaller before they travel.

const LARGE = 2_000_000; // bytes
const SIDE = 1024; // pixels of the shorter side; the model reads fewer

/** Calls `taken(file)` with every photo that comes. */
export function takePhotos(taken) {
  for (const [button, input] of [["choose", "file"], ["shoot", "camera"]]) {
    const field = document.getElementById(input);
    document.getElementById(button).addEventListener("click", () => field.click());
    field.addEventListener("change", () => {
      if (field.files[0]) taken(field.files[0]);
      field.value = "";
    });
  }
  document.addEventListener("paste", (event) => {
    const file = event.clipboardData?.files[0];
    if (file) taken(file);
  });
  let depth = 0;
  const dragging = (change) => (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    depth = change ? Math.max(depth + change, 0) : depth;
    document.body.classList.toggle("dragging", depth > 0);
  };
  document.addEventListener("dragenter", dragging(1));
  document.addEventListener("dragleave", dragging(-1));
  document.addEventListener("dragover", dragging(0));
  document.addEventListener("drop", (event) => {
    dragging(-depth)(event);
    document.body.classList.remove("dragging");
    depth = 0;
    if (event.dataTransfer?.files[0]) taken(event.dataTransfer.files[0]);
  });
}

/** A photo that is quick to send; the file itself where the browser cannot read it. */
export async function small(file) {
  if (file.size <= LARGE) return file;
  try {
    const bitmap = await createImageBitmap(file);
    const scale = Math.min(SIDE / Math.min(bitmap.width, bitmap.height), 1);
    const canvas = document.createElement("canvas");
    canvas.width = Math.round(bitmap.width * scale);
    canvas.height = Math.round(bitmap.height * scale);
    canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    return (await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.92))) ?? file;
  } catch {
    return file;
  }
}
